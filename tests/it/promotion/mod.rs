//! Promotion, on real Git: from environment to environment, in every layout, with a cluster that proves it.

mod back;
mod layouts;
mod life;
mod scene;
