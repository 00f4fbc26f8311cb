//! What is known of the registry so far: packuments, the versions picked from them, the ranges met on the way.

use std::collections::BTreeMap;

use crate::eco::npm::manifest::Manifest;
use crate::eco::npm::packument::Packument;
use crate::eco::npm::pick::Picker;
use crate::eco::npm::spec::Spec;
use crate::eco::npm::tree::graph::Wish;

/// A picked version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManifestId(usize);

/// A dependency text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SpecId(usize);

/// What a dependency leads to in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picked {
    /// This version.
    Version(ManifestId),
    /// The registry has no such package.
    NoPackage,
    /// The package has no such version.
    NoVersion,
    /// It is not a matter of registries.
    Foreign,
}

/// A package inside a tarball.
#[derive(Debug, Clone)]
pub(crate) struct Bundled {
    /// Path below the package that contains it, such as `node_modules/a`.
    pub(crate) path: String,
    /// What it is.
    pub(crate) manifest: ManifestId,
}

/// Everything known.
#[derive(Debug)]
pub(crate) struct Catalog {
    picker: Picker,
    overrides: BTreeMap<String, String>,
    packuments: BTreeMap<String, Option<Packument>>,
    manifests: Vec<(Manifest, Vec<Wish>)>,
    by_release: BTreeMap<(String, String), ManifestId>,
    specs: Vec<(String, Spec)>,
    by_text: BTreeMap<String, SpecId>,
    picks: BTreeMap<(String, SpecId), Picked>,
    bundles: BTreeMap<ManifestId, Vec<Bundled>>,
}

impl Catalog {
    /// Knows nothing yet.
    pub(crate) const fn new(picker: Picker) -> Self {
        Self {
            picker,
            overrides: BTreeMap::new(),
            packuments: BTreeMap::new(),
            manifests: Vec::new(),
            by_release: BTreeMap::new(),
            specs: Vec::new(),
            by_text: BTreeMap::new(),
            picks: BTreeMap::new(),
            bundles: BTreeMap::new(),
        }
    }

    /// With other texts for the dependencies of these names, whoever has them.
    pub(crate) fn overriding(mut self, overrides: BTreeMap<String, String>) -> Self {
        self.overrides = overrides;
        self
    }

    /// Names whose dependencies are replaced.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = &str> {
        self.overrides.keys().map(String::as_str)
    }

    /// Takes in what the registry says of `name`: `None` means that it has no such package.
    pub(crate) fn learn(&mut self, name: &str, packument: Option<Packument>) {
        self.packuments.insert(name.to_owned(), packument);
    }

    /// The packument of `name`, if the registry was asked and has it.
    pub(crate) fn packument(&self, name: &str) -> Option<&Packument> {
        self.packuments.get(name)?.as_ref()
    }

    /// The moment after which releases do not exist.
    pub(crate) const fn limit(&self) -> Option<crate::base::time::Timestamp> {
        self.picker.limit()
    }

    /// The id of a dependency text.
    pub(crate) fn spec_id(&mut self, text: &str) -> SpecId {
        if let Some(known) = self.by_text.get(text) {
            return *known;
        }
        let id = SpecId(self.specs.len());
        self.specs.push((text.to_owned(), Spec::parse(text)));
        self.by_text.insert(text.to_owned(), id);
        id
    }

    /// A dependency text, read.
    #[expect(
        clippy::indexing_slicing,
        reason = "spec ids are made by `spec_id` only"
    )]
    pub(crate) fn spec(&self, id: SpecId) -> &Spec {
        &self.specs[id.0].1
    }

    /// A dependency text as it was written.
    #[expect(
        clippy::indexing_slicing,
        reason = "spec ids are made by `spec_id` only"
    )]
    pub(crate) fn spec_text(&self, id: SpecId) -> &str {
        &self.specs[id.0].0
    }

    /// A picked version.
    #[expect(
        clippy::indexing_slicing,
        reason = "manifest ids are made by `keep` only"
    )]
    pub(crate) fn manifest(&self, id: ManifestId) -> &Manifest {
        &self.manifests[id.0].0
    }

    /// The dependencies of a picked version.
    #[expect(
        clippy::indexing_slicing,
        reason = "manifest ids are made by `keep` only"
    )]
    pub(crate) fn wishes(&self, id: ManifestId) -> Vec<Wish> {
        self.manifests[id.0].1.clone()
    }

    /// Whether a picked version meets a dependency.
    pub(crate) fn meets(&self, spec: SpecId, manifest: ManifestId) -> bool {
        let manifest = self.manifest(manifest);
        self.spec(spec)
            .is_met_by(manifest.parsed.as_ref(), manifest.tarball.is_some())
    }

    /// Whether a dependency takes anything.
    pub(crate) fn is_any(&self, spec: SpecId) -> bool {
        matches!(self.spec(spec).inner(), Spec::Any)
    }

    /// Whether two picked versions are the same content.
    pub(crate) fn is_same(&self, one: ManifestId, other: ManifestId) -> bool {
        let (a, b) = (self.manifest(one), self.manifest(other));
        let checksum = |m: &Manifest| m.tarball.as_ref().and_then(|t| t.checksum.clone());
        match (checksum(a), checksum(b)) {
            (Some(a), Some(b)) => a == b,
            _ => one == other || (a.name == b.name && a.version == b.version),
        }
    }

    /// What was picked for a dependency called `name`; `None` when nobody looked yet.
    pub(crate) fn picked(&self, name: &str, spec: SpecId) -> Option<Picked> {
        let target = self.spec(spec).target(name);
        if matches!(self.spec(spec), Spec::Foreign(_)) || !super::is_name(target) {
            return Some(Picked::Foreign);
        }
        self.picks.get(&(target.to_owned(), spec)).copied()
    }

    /// Picks for a dependency called `name`. `Err` names the package whose packument is missing.
    pub(crate) fn pick(&mut self, name: &str, spec: SpecId) -> Result<Picked, String> {
        if let Some(known) = self.picked(name, spec) {
            return Ok(known);
        }
        let target = self.spec(spec).target(name).to_owned();
        let Some(known) = self.packuments.get(&target) else {
            return Err(target);
        };
        let wanted = self.specs.get(spec.0).map_or(&Spec::Any, |(_, s)| s);
        let picked = match known.as_ref().map(|p| self.picker.pick(p, wanted)) {
            None => Picked::NoPackage,
            Some(None) => Picked::NoVersion,
            Some(Some(view)) => {
                let release = (target.clone(), view.text().to_owned());
                if let Some(known) = self.by_release.get(&release) {
                    Picked::Version(*known)
                } else {
                    let mut manifest = Manifest::from_view(&target, view);
                    manifest.replace(&self.overrides);
                    let id = self.keep(manifest);
                    self.by_release.insert(release, id);
                    Picked::Version(id)
                }
            }
        };
        self.picks.insert((target, spec), picked);
        Ok(picked)
    }

    fn keep(&mut self, manifest: Manifest) -> ManifestId {
        let wishes = manifest
            .edges
            .iter()
            .map(|edge| Wish {
                name: edge.name.clone(),
                spec: self.spec_id(&edge.spec),
                kind: edge.kind,
            })
            .collect();
        let id = ManifestId(self.manifests.len());
        self.manifests.push((manifest, wishes));
        id
    }

    /// Takes in a manifest that did not come from the registry.
    pub(crate) fn keep_foreign(&mut self, manifest: Manifest) -> ManifestId {
        self.keep(manifest)
    }

    /// Takes in what is inside a tarball: path and manifest of each package, in the order of paths.
    pub(crate) fn learn_bundle(&mut self, of: ManifestId, found: Vec<(String, Manifest)>) {
        let bundled = found
            .into_iter()
            .map(|(path, manifest)| Bundled {
                path,
                manifest: self.keep(manifest),
            })
            .collect();
        self.bundles.insert(of, bundled);
    }

    /// What is inside a tarball, once known.
    pub(crate) fn bundle(&self, of: ManifestId) -> Option<&[Bundled]> {
        self.bundles.get(&of).map(Vec::as_slice)
    }

    /// Whether anything known brings packages inside its tarball.
    pub(crate) fn has_bundles(&self) -> bool {
        !self.bundles.is_empty()
    }
}
