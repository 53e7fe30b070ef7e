//! The script: rules that say which request meets which fault.

use crate::call::{Call, Op, Service};
use crate::fault::{Fault, Kind};
use crate::rng::Rng;
use crate::text::glob;
use serde_json::Value;
use std::collections::HashMap;

/// What a rule counts by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Per {
    Rule,
    Key,
    Request,
}

#[derive(Clone, Debug)]
enum Does {
    Fault(Box<Fault>),
    /// A legal one that the seed chooses.
    Any(Vec<Kind>),
    /// None: requests that match are spared from the rules below.
    Nothing,
}

/// Requests that match and what becomes of them.
#[derive(Clone, Debug)]
pub struct Rule {
    service: Option<Service>,
    ops: Vec<Op>,
    key: String,
    /// First and last occurrence, from 1; empty: all.
    nth: Vec<(u64, u64)>,
    per: Per,
    probability: f64,
    does: Does,
    seen: HashMap<String, u64>,
}

impl Rule {
    /// This fault for every request of this operation.
    pub fn on(op: Op, fault: Fault) -> Rule {
        Rule {
            service: None,
            ops: vec![op],
            key: "*".into(),
            nth: Vec::new(),
            per: Per::Rule,
            probability: 1.0,
            does: Does::Fault(Box::new(fault)),
            seen: HashMap::new(),
        }
    }

    /// This fault for every request.
    pub fn everywhere(fault: Fault) -> Rule {
        Rule { ops: Vec::new(), ..Rule::on(Op::Unknown, fault) }
    }

    /// Only the n-th matching request, from 1.
    pub fn nth(mut self, n: u64) -> Rule {
        self.nth.push((n, n));
        self
    }

    /// Only the first `n` matching requests.
    pub fn times(mut self, n: u64) -> Rule {
        self.nth.push((1, n));
        self
    }

    /// Only keys (`container/key`) of this pattern.
    pub fn key(mut self, pattern: &str) -> Rule {
        pattern.clone_into(&mut self.key);
        self
    }

    /// Occurrences are counted for each key, or for each request and its repetitions.
    pub fn per_request(mut self) -> Rule {
        self.per = Per::Request;
        self
    }

    /// Only a part of the matching requests, as the seed has it.
    pub fn probability(mut self, probability: f64) -> Rule {
        self.probability = probability;
        self
    }

    /// From names and values, as a line of a script or an object of JSON gives them.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Rule, String> {
        let find = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let mut rule = Rule::everywhere(Fault::new(Kind::Status));
        let name = find("fault").ok_or("a rule has no fault")?;
        let mut fault = match name {
            "any" | "none" => None,
            _ => Some(Fault::named(name)?),
        };
        let mut among = Vec::new();
        for (name, value) in pairs {
            match name.as_str() {
                "fault" => {}
                "service" if value == "*" => {}
                "service" => {
                    let service = Service::ALL.into_iter().find(|service| service.name() == value);
                    rule.service = Some(service.ok_or(format!("service={value}: expected s3, azure or *"))?);
                }
                "op" if value == "*" => {}
                "op" => {
                    for op in value.split(',') {
                        rule.ops.push(Op::from_name(op).ok_or_else(|| {
                            let all: Vec<_> = Op::ALL.iter().map(|op| op.name()).collect();
                            format!("op={op}: expected * or some of {}", all.join(","))
                        })?);
                    }
                }
                "key" => value.clone_into(&mut rule.key),
                "nth" => rule.nth = parse_nth(value)?,
                "times" => rule.nth = parse_nth(&format!("1-{value}"))?,
                "per" => {
                    rule.per = match value.as_str() {
                        "rule" => Per::Rule,
                        "key" => Per::Key,
                        "request" => Per::Request,
                        _ => return Err(format!("per={value}: expected rule, key or request")),
                    };
                }
                "probability" => {
                    let number = value.parse().ok().filter(|p| (0.0..=1.0).contains(p));
                    rule.probability = number.ok_or(format!("probability={value}: expected 0 to 1"))?;
                }
                "among" if fault.is_none() => {
                    for kind in value.split(',') {
                        among.push(Fault::named(kind)?.kind);
                    }
                }
                _ => match &mut fault {
                    Some(fault) => fault.set(name, value)?,
                    None => return Err(format!("there is no parameter {name:?}")),
                },
            }
        }
        rule.does = match fault {
            Some(fault) => Does::Fault(Box::new(fault)),
            None if name == "none" => Does::Nothing,
            None => Does::Any(among),
        };
        Ok(rule)
    }

    fn matches(&self, call: &Call) -> bool {
        self.service.is_none_or(|service| service == call.service)
            && match self.ops.is_empty() {
                true => call.op != Op::Connect,
                false => self.ops.contains(&call.op),
            }
            && glob(&self.key, &call.path())
    }

    /// Counts the call; gives what becomes of it: `None` where the rule leaves it alone.
    fn take(&mut self, number: usize, seed: u64, call: &Call) -> Option<Option<Fault>> {
        if !self.matches(call) {
            return None;
        }
        let counted_by = match self.per {
            Per::Rule => String::new(),
            Per::Key => call.path(),
            Per::Request => call.identity.clone(),
        };
        let count = self.seen.entry(counted_by).or_default();
        *count += 1;
        let nth = *count;
        if !self.nth.is_empty() && !self.nth.iter().any(|(first, last)| (*first..=*last).contains(&nth)) {
            return None;
        }
        // Of this request alone, so that the order of concurrent ones changes nothing for it.
        let own = self.seen.entry(format!("\0{}", call.identity)).or_default();
        *own += 1;
        let words =
            [&number.to_string(), call.service.name(), call.op.name(), &call.identity, &own.to_string()];
        let mut rng = Rng::of(seed, &words);
        if rng.unit() >= self.probability {
            return None;
        }
        match &self.does {
            Does::Fault(fault) => Some(Some((**fault).clone())),
            Does::Any(among) => Fault::any(among, call.service, call.op, &mut rng).map(Some),
            Does::Nothing => Some(None),
        }
    }
}

/// `1`, `1,3`, `2-5` or `2-`.
fn parse_nth(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let bad = || format!("nth={text}: expected numbers from 1 such as 1,3 or 2-5 or 2-");
    let one = |piece: &str| {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let first = first.parse().ok().filter(|n| *n > 0)?;
        let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
        Some((first, last))
    };
    text.split(',').map(|piece| one(piece).ok_or_else(bad)).collect()
}

/// Rules in order: the first one that matches decides.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub rules: Vec<Rule>,
    /// Replaces the server's seed.
    pub seed: Option<u64>,
}

impl Script {
    /// Both forms: JSON (an object with `rules` and perhaps `seed`, or a list of rules), or one rule a
    /// line as `name=value name=value`, with `#` before comments and perhaps a line `seed=N`.
    pub fn parse(text: &str) -> Result<Script, String> {
        match text.trim_start().starts_with(['{', '[']) {
            true => Script::parse_json(text),
            false => Script::parse_lines(text),
        }
    }

    fn parse_json(text: &str) -> Result<Script, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("the script is no JSON: {e}"))?;
        let (rules, seed) = match &value {
            Value::Object(map) => {
                if let Some(other) = map.keys().find(|name| !matches!(name.as_str(), "rules" | "seed")) {
                    return Err(format!("a script has rules and seed, but no {other:?}"));
                }
                (map.get("rules").cloned().unwrap_or(Value::Array(Vec::new())), map.get("seed"))
            }
            other => (other.clone(), None),
        };
        let seed = match seed {
            None => None,
            Some(seed) => Some(seed.as_u64().ok_or(format!("seed={seed}: expected a whole number"))?),
        };
        let Value::Array(rules) = rules else { return Err("rules must be a list".into()) };
        let rule = |(at, rule): (usize, Value)| {
            let Value::Object(map) = rule else { return Err(format!("rule {}: expected an object", at + 1)) };
            let plain = |value: Value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let pairs: Vec<_> = map.into_iter().map(|(name, value)| (name, plain(value))).collect();
            Rule::from_pairs(&pairs).map_err(|why| format!("rule {}: {why}", at + 1))
        };
        Ok(Script { rules: rules.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?, seed })
    }

    fn parse_lines(text: &str) -> Result<Script, String> {
        let mut script = Script::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let at_line = |why: String| format!("line {}: {why}", at + 1);
            if line.is_empty() {
                continue;
            }
            let pair = |word: &str| {
                let pair = word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
                pair.ok_or_else(|| at_line(format!("{word:?} has no =")))
            };
            let pairs = line.split_whitespace().map(pair).collect::<Result<Vec<_>, _>>()?;
            match pairs.as_slice() {
                [(name, value)] if name == "seed" => {
                    let seed =
                        value.parse().map_err(|_| at_line(format!("seed={value}: expected a number")))?;
                    script.seed = Some(seed);
                }
                pairs => script.rules.push(Rule::from_pairs(pairs).map_err(at_line)?),
            }
        }
        Ok(script)
    }

    /// The fault for this call, if there is one.
    pub(crate) fn take(&mut self, seed: u64, call: &Call) -> Option<Fault> {
        let seed = self.seed.unwrap_or(seed);
        for (number, rule) in self.rules.iter_mut().enumerate() {
            if let Some(decided) = rule.take(number, seed, call) {
                return decided;
            }
        }
        None
    }
}

impl From<Rule> for Script {
    fn from(rule: Rule) -> Script {
        Script { rules: vec![rule], seed: None }
    }
}

impl From<Vec<Rule>> for Script {
    fn from(rules: Vec<Rule>) -> Script {
        Script { rules, seed: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(op: Op, key: &str) -> Call {
        let (container, key) = ("box".to_owned(), key.to_owned());
        let identity = format!("{} {key}", op.name());
        Call { service: Service::S3, op, container, key, identity }
    }

    fn fates(script: &str, calls: &[(Op, &str)]) -> Vec<Option<String>> {
        let mut script = Script::parse(script).unwrap();
        calls.iter().map(|(op, key)| script.take(1, &call(*op, key)).map(|f| f.to_string())).collect()
    }

    #[test]
    fn both_forms_say_the_same() {
        let calls = [(Op::Get, "a/1"), (Op::Get, "b"), (Op::Get, "a/2"), (Op::Put, "a/3"), (Op::Head, "x")];
        let lines = "# faults\nop=get key=box/a/* nth=2 fault=reset_in_body at=last\n\nop=head,put key=*a* fault=status status=429 # slow\n";
        let json = r#"{"rules": [{"op": "get", "key": "box/a/*", "nth": 2, "fault": "reset_in_body", "at": "last"},
                       {"op": "head,put", "key": "*a*", "fault": "status", "status": 429}]}"#;
        let wanted = [
            None,
            None,
            Some("reset_in_body at=last".to_owned()),
            Some("status status=429".to_owned()),
            None,
        ];
        assert_eq!(fates(lines, &calls), wanted);
        assert_eq!(fates(json, &calls), wanted);
    }

    #[test]
    fn occurrences_are_counted_as_the_rule_says() {
        let calls = [(Op::Get, "a"), (Op::Get, "b"), (Op::Get, "a"), (Op::Get, "b"), (Op::Get, "a")];
        let hits =
            |script: &str| -> Vec<bool> { fates(script, &calls).iter().map(Option::is_some).collect() };
        assert_eq!(hits("op=get fault=stale times=2"), [true, true, false, false, false]);
        assert_eq!(hits("op=get fault=stale nth=1 per=key"), [true, true, false, false, false]);
        assert_eq!(hits("op=get fault=stale nth=2- per=request"), [false, false, true, true, true]);
        assert_eq!(hits("op=get fault=stale nth=1,4-5"), [true, false, false, true, true]);
        assert_eq!(hits("key=box/a fault=none\nfault=stale"), [false, true, false, true, false]);
    }

    #[test]
    fn a_seed_decides_the_same_way_in_any_order() {
        let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
        let run = |seed: u64, keys: &mut dyn Iterator<Item = &String>| {
            let mut script = Script::parse("op=get probability=0.3 fault=any").unwrap();
            let mut found: Vec<_> = keys
                .filter_map(|k| Some((k.clone(), script.take(seed, &call(Op::Get, k))?.to_string())))
                .collect();
            found.sort();
            found
        };
        let forward = run(7, &mut keys.iter());
        assert_eq!(forward, run(7, &mut keys.iter().rev()));
        assert_ne!(forward, run(8, &mut keys.iter()));
        assert!((30..90).contains(&forward.len()), "{} of 200", forward.len());
    }

    #[test]
    fn what_is_malformed_says_where() {
        for (script, wanted) in [
            ("op=get", "line 1: a rule has no fault"),
            ("op=get fault=bogus", "there is no fault \"bogus\""),
            ("\nop=gte fault=stale", "line 2: op=gte"),
            ("fault=stale at=half", "at=half"),
            ("fault=stale nth=0", "nth=0"),
            ("fault stale", "has no ="),
            ("fault=status status=99", "status=99"),
            ("fault=any at=1", "no parameter \"at\""),
            ("[{\"fault\": \"stale\"}, 1]", "rule 2: expected an object"),
            ("{\"rule\": []}", "no \"rule\""),
            ("{", "no JSON"),
        ] {
            let error = Script::parse(script).unwrap_err();
            assert!(error.contains(wanted), "{script}: {error}");
        }
    }
}
