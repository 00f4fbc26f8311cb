//! Resolving what no manifest was written for: one install, straight to its ecosystem's resolver.

use std::fmt::Debug;

use stage::base::fault::Fault;
use stage::base::package::EcosystemId;
use stage::base::platform::Target;
use stage::base::progress::NoProgress;
use stage::base::time::Timestamp;
use stage::eco::install::{Address, Given, InputFile, Inputs, Install};
use stage::resolve::{self, Closure, Input, PlannedInstall, ResolveError};
use stage::upstream::{Resolver, Upstream};

/// What makes the resolver of a request.
type Make<R> = fn(R) -> Result<Box<dyn Resolver>, Box<dyn Fault>>;

/// An install that asks for this, and its requirements as the lock has them.
#[derive(Debug)]
pub(crate) struct Asked<R> {
    pub(crate) ecosystem: EcosystemId,
    pub(crate) requirements: Vec<String>,
    pub(crate) request: R,
    pub(crate) make: Make<R>,
}

impl<R: Clone + Debug> Asked<R> {
    /// Resolves it for `target`, with what was published until `exclude_newer`.
    pub(crate) fn resolve(
        &self,
        target: Target,
        exclude_newer: Option<Timestamp>,
        upstream: &mut dyn Upstream,
    ) -> Result<Closure, ResolveError> {
        let input = Input {
            target,
            exclude_newer,
            now: Timestamp::default(),
            keys: stage::eco::vouched::UpstreamKeys::shipped().unwrap(),
            installs: vec![PlannedInstall {
                ecosystem: self.ecosystem.clone(),
                number: 1,
                install: self,
                inputs: Inputs::new(),
                requirements: self.requirements.clone(),
                prefer: stage::eco::preference::Preference::none(),
            }],
        };
        resolve::run(&input, None, upstream, &NoProgress)
    }
}

impl<R: Clone + Debug> Install for Asked<R> {
    fn inputs(&self, _known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        Ok(Vec::new())
    }

    fn addresses(&self) -> Vec<Address> {
        Vec::new()
    }

    fn requirements(&self, _inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        Ok(self.requirements.clone())
    }

    fn resolver(&self, _given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        (self.make)(self.request.clone())
    }
}
