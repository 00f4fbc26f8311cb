//! `[[prove]]`: what shall work once the bundle is installed, for `stage prove`; `[proof]`: what a proof may leave out.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::ManifestError;
use super::table::{Found, Table};
use crate::base::check::{self, Answer, Check, End, Expect};
use crate::base::time::Span;

pub(super) fn read(found: Option<Found<'_>>) -> Result<Vec<Check>, ManifestError> {
    let Some(found) = found else {
        return Ok(Vec::new());
    };
    let too_many = found.error("at most 64 checks");
    let tables = found.tables("[[prove]]")?;
    if !check::fits(tables.len()) {
        return Err(too_many);
    }
    tables.into_iter().map(one).collect()
}

/// `[proof] without`: ecosystems that are not installed from when the bundle is proved, each with the reason.
pub(super) fn without(
    found: Option<Found<'_>>,
    sections: &[&'static str],
) -> Result<BTreeMap<String, String>, ManifestError> {
    let Some(found) = found else {
        return Ok(BTreeMap::new());
    };
    let mut table = found.table("[proof]")?;
    let without = table.require("without")?.table("`without`")?;
    table.finish()?;
    let mut out = BTreeMap::new();
    for (name, reason) in without.into_pairs() {
        let fail = reason.error("a reason, not empty, of at most 500 bytes");
        if !sections.contains(&name.as_str()) {
            return Err(reason.error(format!("about one of {}", sections.join(", "))));
        }
        let reason = reason.string()?;
        if reason.trim().is_empty() || reason.len() > 500 {
            return Err(fail);
        }
        out.insert(name, reason);
    }
    Ok(out)
}

fn one(mut table: Table<'_>) -> Result<Check, ManifestError> {
    let place = table.place();
    let run = table.require("run")?.string()?;
    let env = table.take("env").map(variables).transpose()?;
    let expect = table.require("expect")?.table("`expect`")?;
    let check = Check {
        run,
        env: env.unwrap_or_default(),
        expect: expectation(expect)?,
    };
    table.finish()?;
    match check::fault(&check) {
        Some((key, expected)) => Err(ManifestError::Value {
            key: key.to_owned(),
            expected: expected.to_owned(),
            place,
        }),
        None => Ok(check),
    }
}

fn variables(found: Found<'_>) -> Result<BTreeMap<String, String>, ManifestError> {
    let pairs = found.table("`env`")?.into_pairs();
    pairs
        .into_iter()
        .map(|(name, value)| Ok((name, value.string()?)))
        .collect()
}

/// `{ http = "…", status = 200, within = "90s", watch = "15s" }` or `{ exit = 0, output = "…", within = "90s" }`.
fn expectation(mut table: Table<'_>) -> Result<Expect, ManifestError> {
    let within = seconds(table.take("within"), check::WITHIN)?;
    let expect = match table.take("http") {
        Some(http) => Expect::Answer(Answer {
            http: http.string()?,
            status: number(table.take("status"), 200)?,
            within,
            watch: seconds(table.take("watch"), check::WATCH)?,
        }),
        None => Expect::End(End {
            exit: number(table.take("exit"), 0)?,
            output: table.take("output").map(Found::string).transpose()?,
            within,
        }),
    };
    table.finish()?;
    Ok(expect)
}

fn seconds(found: Option<Found<'_>>, usual: u64) -> Result<u64, ManifestError> {
    let Some(found) = found else {
        return Ok(usual);
    };
    let span: Span = found.parsed("a duration from 1s to 1d such as \"90s\"")?;
    Ok(u64::try_from(span.seconds()).unwrap_or_default())
}

fn number<T: std::str::FromStr>(found: Option<Found<'_>>, usual: T) -> Result<T, ManifestError> {
    let Some(found) = found else {
        return Ok(usual);
    };
    let text = match found.value.get_ref() {
        DeValue::Integer(number) => number.as_str(),
        _ => "",
    };
    text.parse().map_err(|_bad| found.error("a number"))
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use crate::base::check::{Answer, End, Expect};

    #[test]
    fn checks_are_read_with_their_defaults_and_refused_by_name() {
        let parse = |text: &str| Manifest::parse("stage.toml", text.as_bytes(), &[]);
        let text = "[[prove]]\nrun = \"demo serve\"\nenv = { TOKEN = \"x\" }\n\
            expect = { http = \"http://127.0.0.1:1/\", status = 204, within = \"2m\" }\n\
            [[prove]]\nrun = \"demo --help\"\nexpect = {}\n";
        let checks = parse(text).unwrap().prove;
        let known = |text: &str| Manifest::parse("stage.toml", text.as_bytes(), &["cargo"]);
        let without = "[proof]\nwithout = { cargo = \"no toolchain there\" }\n";
        assert_eq!(
            known(without).unwrap().without["cargo"],
            "no toolchain there"
        );
        for bad in [
            "{ cargo = \" \" }",
            "{ rust = \"x\" }",
            "[\"cargo\"]",
            "{ cargo = 1 }",
        ] {
            let text = format!("[proof]\nwithout = {bad}\n");
            let said = known(&text).unwrap_err().to_string();
            assert!(said.contains("must be"), "{bad}: {said}");
        }
        let answer = Answer {
            http: "http://127.0.0.1:1/".to_owned(),
            status: 204,
            within: 120,
            watch: 15,
        };
        assert_eq!(checks[0].expect, Expect::Answer(answer));
        assert_eq!(checks[0].env["TOKEN"], "x");
        let end = End {
            exit: 0,
            output: None,
            within: 120,
        };
        assert_eq!(checks[1].expect, Expect::End(end));
        for (from, to, said) in [
            ("127.0.0.1", "192.0.2.1", "`http` must be"),
            ("204", "20", "`status` must be"),
            ("204", "\"204\"", "`status` must be"),
            ("2m", "2w", "`within` must be"),
            ("expect = {}", "", "`expect` must be"),
            ("expect = {}", "expect = { exit = 256 }", "`exit` must be"),
            ("expect = {}", "expect = { outptu = \"x\" }", "unknown key"),
            ("demo --help", "", "`run` must be"),
            ("TOKEN", "\"TO-KEN\"", "`env` must be"),
        ] {
            let error = parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().contains(said), "{to}: {error}");
        }
    }
}
