//! The profiles, which are policies themselves: what `stage policy init` writes is what the profile means.

use super::Profile;

/// The text of a profile: a whole `policy.toml` with every setting of that profile and its reason.
pub const fn starter(profile: Profile) -> &'static str {
    match profile {
        Profile::Lenient => include_str!("profiles/lenient.toml"),
        Profile::Standard => include_str!("profiles/standard.toml"),
        Profile::Strict => include_str!("profiles/strict.toml"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Profile};
    use super::starter;

    #[test]
    fn what_is_written_for_a_profile_says_what_its_name_says() {
        for profile in Profile::ALL {
            let written = Policy::parse("policy.toml", starter(profile).as_bytes()).unwrap();
            let named = format!("profile = \"{}\"\n", profile.as_str());
            let named = Policy::parse("policy.toml", named.as_bytes()).unwrap();
            assert_eq!(written.profile, profile);
            assert_eq!(format!("{:?}", written.rules), format!("{:?}", named.rules));
            assert!(written.waivers.is_empty());
        }
    }
}
