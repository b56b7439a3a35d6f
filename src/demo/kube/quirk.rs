//! Faults that the server can be asked to inject.

use std::time::Duration;

/// The verb of a request, as in RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object.
    Get,
    /// Many objects.
    List,
    /// Their changes.
    Watch,
    /// A new object.
    Create,
    /// A replacement.
    Update,
    /// A merge.
    Patch,
    /// A removal.
    Delete,
}

impl Verb {
    /// The verb's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// 403 with the message of a real server.
    Forbidden,
    /// 401.
    Unauthorized,
    /// 410 as the answer's status, also for a watch.
    Gone,
    /// A watch reports in its stream that its version is too old, and ends.
    GoneInStream,
    /// A watch breaks off in the middle of a line; another request gets no answer.
    Cut,
    /// No answer, or a watch that sends nothing more, not even its end.
    Silent,
    /// 429 with `Retry-After`, in seconds.
    TooManyRequests(u32),
    /// Any status.
    Status(u16),
    /// The answer is delayed.
    Slow(Duration),
}

/// A fault, and when it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quirk {
    effect: Effect,
    verb: Option<Verb>,
    resource: Option<String>,
    namespace: Option<String>,
    times: Option<u32>,
}

impl Quirk {
    /// For every verb and resource, until it is removed.
    #[must_use]
    pub fn new(effect: Effect) -> Self {
        Self { effect, verb: None, resource: None, namespace: None, times: None }
    }

    /// Only for this verb.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Only for this resource, e.g. `pods` or `applications.argoproj.io`.
    #[must_use]
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only for requests in this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// At most this many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn concerns(&self, verb: Verb, resource: &str, namespace: Option<&str>) -> bool {
        self.times != Some(0)
            && self.verb.is_none_or(|wanted| wanted == verb)
            && self.resource.as_deref().is_none_or(|wanted| wanted == resource)
            && self.namespace.as_deref().is_none_or(|wanted| Some(wanted) == namespace)
    }
}

/// When a quirk can apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before a request is answered.
    Request,
    /// While a watch is open.
    Stream,
}

/// The active quirks.
#[derive(Debug, Default)]
pub(super) struct Quirks {
    standing: Vec<(u64, Quirk)>,
    given: u64,
}

impl Quirks {
    pub(super) fn add(&mut self, quirk: Quirk) -> u64 {
        self.given += 1;
        self.standing.push((self.given, quirk));
        self.given
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.standing.retain(|(given, _)| *given != id);
    }

    pub(super) fn clear(&mut self) {
        self.standing.clear();
    }

    /// The oldest quirk that applies here; counts its use.
    pub(super) fn strike(
        &mut self,
        moment: Moment,
        verb: Verb,
        resource: &str,
        namespace: Option<&str>,
    ) -> Option<Effect> {
        let in_stream = |effect: &Effect| {
            matches!(effect, Effect::GoneInStream)
                || (verb == Verb::Watch && matches!(effect, Effect::Cut | Effect::Silent))
        };
        let (_, quirk) = self.standing.iter_mut().find(|(_, quirk)| {
            quirk.concerns(verb, resource, namespace) && in_stream(&quirk.effect) == (moment == Moment::Stream)
        })?;
        if let Some(times) = &mut quirk.times {
            *times -= 1;
        }
        Some(quirk.effect.clone())
    }
}
