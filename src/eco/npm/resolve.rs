//! shim
use crate::base::fault::Fault;
use crate::eco::InstallRequest;
use crate::upstream::Resolver;
pub fn resolver(request: InstallRequest) -> Result<Box<dyn Resolver>, Box<dyn Fault>> { crate::eco::file::resolve::resolver(&request) }
