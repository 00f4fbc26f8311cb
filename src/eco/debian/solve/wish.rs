//! From what is asked for to packages, as apt reads its command line.

use crate::base::text::{escaped, quoted};
use crate::eco::debian::names::NameId;
use crate::eco::debian::pool::CandidateId;
use crate::eco::debian::solve::answer::Roots;
use crate::eco::debian::solve::state::State;
use crate::eco::debian::solve::{SolveError, SolveRequest, Wish};

/// What the baseline `essential` has beside the Essential set.
const INSTALLER: &str = "apt";

/// The packages that are asked for; pinned versions become candidates.
pub(crate) fn choose(state: &mut State<'_>, request: &SolveRequest) -> Result<Roots, SolveError> {
    let mut roots = Roots::default();
    for wish in &request.wishes {
        let name = state.wished(wish)?;
        if !roots.wishes.contains(&name) {
            roots.wishes.push(name);
        }
    }
    if request.essential {
        let is_essential = |name: &NameId| {
            let essential = state.pool.slot(*name).is_some_and(|slot| slot.is_essential);
            essential && state.mark(*name).candidate.is_some()
        };
        roots.essential = state.all().filter(is_essential).collect();
        roots
            .essential
            .sort_by_key(|name| state.pool.names().name(*name));
        roots.essential.push(state.wished(&Wish::named(INSTALLER))?);
        roots.essential.retain(|name| !roots.wishes.contains(name));
    }
    Ok(roots)
}

impl State<'_> {
    fn wished(&mut self, wish: &Wish) -> Result<NameId, SolveError> {
        let arch = wish.arch.as_deref().unwrap_or(self.pool.arch());
        let here = arch == self.pool.arch() || arch == "all";
        let found = self.pool.names().find(&wish.name).filter(|_| here);
        let slot = found.and_then(|name| self.pool.slot(name));
        let Some((name, slot)) = found.zip(slot) else {
            return Err(self.unknown(wish, arch));
        };
        if slot.versions.is_empty() {
            return self.only_provider(wish, name, arch);
        }
        let id = match &wish.version {
            None => self.mark(name).candidate,
            Some(version) => {
                let exact = |id: &CandidateId| {
                    let candidate = self.pool.candidate(*id);
                    candidate.is_some_and(|c| c.version() == version)
                };
                let id = slot.versions.iter().copied().find(exact);
                Some(id.ok_or_else(|| self.no_version(name, version))?)
            }
        };
        let Some(id) = id else {
            return Err(self.no_version(name, "that may be installed"));
        };
        self.take(name, id)?;
        Ok(name)
    }

    /// Makes a version the candidate of its package.
    fn take(&mut self, name: NameId, id: CandidateId) -> Result<(), SolveError> {
        let current = self.current(name);
        let is_held = self.pool.slot(name).is_some_and(|slot| slot.is_held);
        if let Some(current) = current.filter(|current| is_held && *current != id) {
            return Err(SolveError::Held {
                package: self.title(current).unwrap_or_default(),
                wanted: self.title(id).unwrap_or_default(),
            });
        }
        self.change(name, |mark| mark.candidate = Some(id));
        Ok(())
    }

    /// The one package that provides a virtual name. apt takes it where there is one only.
    fn only_provider(
        &mut self,
        wish: &Wish,
        name: NameId,
        arch: &str,
    ) -> Result<NameId, SolveError> {
        let mut owners: Vec<NameId> = Vec::new();
        let mut titles = Vec::new();
        for provider in self.providers(name) {
            let Some(owner) = self.name_of(provider.by) else {
                continue;
            };
            if self.mark(owner).candidate == Some(provider.by) && !owners.contains(&owner) {
                owners.push(owner);
                titles.extend(self.title(provider.by));
            }
        }
        match owners.as_slice() {
            [] => Err(self.unknown(wish, arch)),
            [owner] if wish.version.is_none() => Ok(*owner),
            _ => Err(SolveError::Virtual {
                name: escaped(&wish.name),
                providers: titles,
            }),
        }
    }

    fn no_version(&self, name: NameId, wanted: &str) -> SolveError {
        let slot = self.pool.slot(name);
        let versions = slot
            .map(|slot| slot.versions.as_slice())
            .unwrap_or_default();
        let version = |id: &CandidateId| self.pool.candidate(*id).map(|c| c.version().to_owned());
        SolveError::NoVersion {
            name: self.pool.names().name(name).to_owned(),
            wanted: escaped(wanted),
            found: versions.iter().filter_map(version).collect(),
        }
    }

    fn unknown(&self, wish: &Wish, arch: &str) -> SolveError {
        let is_real = |name: &NameId| {
            let slot = self.pool.slot(*name);
            slot.is_some_and(|slot| !slot.versions.is_empty() || !slot.providers.is_empty())
        };
        let close = |name: NameId| {
            let name = self.pool.names().name(name);
            let distance = strsim::osa_distance(name, &wish.name);
            (distance <= 2 && distance < wish.name.len()).then(|| (distance, name.to_owned()))
        };
        let nearest = self.all().filter(is_real).filter_map(close).min();
        SolveError::Unknown {
            name: quoted(&wish.name),
            arch: escaped(arch),
            near: nearest.map(|(_, name)| name),
        }
    }
}
