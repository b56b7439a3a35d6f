//! A first plan beside the least that any tool has to fetch: the same lists with curl, the same repository with git.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;

use crate::measure::{Run, count, figure, landfall, process};
use crate::registries::{serve, tags};
use crate::world::{COMMIT, World, repository};

const IMAGES: usize = 200;
const TAGS: usize = 200;
const RUNS: usize = 7;

/// When a server was asked for what, since the last [`Asked::clear`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<(Instant, String)>>>);

impl Asked {
    /// Puts this in front of a router.
    pub(crate) fn watch(&self, router: axum::Router) -> axum::Router {
        let asked = self.clone();
        router.layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            asked.times().push((Instant::now(), request.uri().path().to_owned()));
            std::future::ready(request)
        }))
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clear(&self) {
        self.times().clear();
    }

    fn bounds(&self) -> anyhow::Result<(Instant, Instant, usize)> {
        let times = self.times();
        let (first, last) = (times.first().context("nothing was asked")?, times.last().context("nothing was asked")?);
        Ok((first.0, last.0, times.len()))
    }

    /// When a path that ends like this was asked for the first time.
    pub(crate) fn first(&self, end: &str) -> anyhow::Result<Instant> {
        let times = self.times();
        let found = times.iter().find(|(_, path)| path.ends_with(end));
        found.map(|(time, _)| *time).with_context(|| format!("{end} was never asked for"))
    }
}

/// A plan of 200 images with 200 tags each and nothing there before, as a ratio of curl's and git's time together; and
/// where its time goes.
pub(crate) async fn cold() -> anyhow::Result<()> {
    let (git, registry) = (Asked::default(), Asked::default());
    let host = serve(tags(TAGS), |router| registry.watch(router)).await?;
    let world = World::behind(|router| git.watch(router)).await?;
    world.commit(&host, IMAGES, 1, COMMIT)?;
    let url = world.git.url("deploys.git");
    let lists = world.folder.path().join("lists");
    let list =
        |number| format!("url = \"http://{host}/v2/{}/tags/list\"\noutput = \"/dev/null\"\n", repository(number));
    std::fs::write(&lists, (0..IMAGES).map(list).collect::<String>())?;
    let lists = lists.to_string_lossy().into_owned();
    let (mut plans, mut curls, mut clones, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut phases: [Vec<Run>; 5] = Default::default();
    for number in 0..RUNS {
        let folder = world.folder.path();
        let clone = format!("mirror-{number}");
        let (clone, _) = process(folder, "git", ["clone", "--quiet", "--mirror", &url, &clone]).await?;
        let (curl, _) =
            process(folder, "curl", ["--silent", "--parallel", "--parallel-max", "8", "--config", &lists]).await?;
        let config = world.config_with(&format!("state-{number}"), "none", &host, &url)?;
        git.clear();
        registry.clear();
        let begin = Instant::now();
        let (plan, out) = landfall(folder, &["plan", "-o", "json", "--config", &config.to_string_lossy()]).await?;
        let end = Instant::now();
        anyhow::ensure!(out.matches("\"to\"").count() == IMAGES, "{out:.2000}");
        if number == 0 {
            count("... requests to the registry", registry.bounds()?.2);
            continue;
        }
        let (git_first, git_last, _) = git.bounds()?;
        let (first, last, _) = registry.bounds()?;
        for (phase, (from, to)) in phases.iter_mut().zip([
            (begin, git_first),
            (git_first, git_last),
            (git_last, first),
            (first, last),
            (last, end),
        ]) {
            phase.push(Run { wall: to.duration_since(from), cpu: 0.0, peak: 0.0 });
        }
        ratios.push(plan.wall.as_secs_f64() / (curl.wall + clone.wall).as_secs_f64());
        plans.push(plan);
        curls.push(curl);
        clones.push(clone);
    }
    ratios.sort_by(f64::total_cmp);
    figure("a plan of 200 images with 200 tags, empty cache", "", &plans);
    figure("the same lists with curl, 8 at a time", "", &curls);
    figure("the same repository with git clone --mirror", "", &clones);
    let middle = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    count("... ratio of the plan to both together (target 2)", format!("{middle:.2}"));
    let names = [
        "until Git is asked",
        "Git's conversation",
        "until the registry is asked: files read",
        "the registry's",
        "after its last request",
    ];
    for (name, phase) in names.iter().zip(&phases) {
        figure(&format!("... of which {name}"), "", phase);
    }
    Ok(())
}
