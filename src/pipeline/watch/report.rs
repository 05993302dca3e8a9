//! What a [`Watch`] knows, for people.

use serde_json::{Value, json};

use super::{Judged, Pair, Watch, lock};

impl Watch {
    /// Each topic and writer schema with its fields: how they look in the last window, what drifts, and the last windows.
    pub fn report(&self) -> Value {
        let mut pairs = lock(&self.pairs).clone();
        pairs.sort_by(|one, other| {
            (&one.topic, one.schema_id).cmp(&(&other.topic, other.schema_id))
        });
        let pairs: Vec<Value> = pairs.iter().map(|pair| self.of_pair(pair)).collect();
        json!({
            "subject": self.reviewed.baseline.subject,
            "drift_window_seconds": self.reviewed.window.as_secs(),
            "topics": pairs,
        })
    }

    fn of_pair(&self, pair: &Pair) -> Value {
        let counted = lock(&pair.open).part.records;
        let judged = lock(&pair.judged);
        let window = judged.sliding.window();
        json!({
            "topic": pair.topic,
            "schema_id": pair.schema_id,
            "windows": judged.windows,
            "records": window.records,
            "counted": counted,
            "from": window.first.and_then(time),
            "until": window.last.and_then(time),
            "fields": self.fields(&judged),
        })
    }

    fn fields(&self, judged: &Judged) -> Vec<Value> {
        let reviewed = &self.reviewed;
        let seen = reviewed.glances(judged.sliding.window());
        let fields = reviewed.baseline.fields.iter().zip(seen).enumerate();
        let known = fields.filter_map(|(place, (field, seen))| Some((place, field, seen?)));
        known
            .map(|(place, field, seen)| {
                let leaf = reviewed.layout.find(&field.path);
                let is_personal = leaf.is_some_and(|leaf| reviewed.layout.leaves[leaf].personal);
                let verdict = judged.verdicts.of(place).map(|verdict| {
                    let tests = verdict.drifted.iter().map(|one| {
                        json!({
                            "test": one.test.as_str(), "found": one.found, "limit": one.limit, "what": one.what,
                        })
                    });
                    json!({ "since": time(verdict.since), "tests": tests.collect::<Vec<_>>() })
                });
                let past = || judged.past.iter().filter_map(|window| window.get(place));
                let nulls: Vec<f64> = past().map(|(nulls, _)| *nulls).collect();
                let figures: Vec<Option<f64>> = past().map(|(_, figure)| *figure).collect();
                json!({
                    "field": field.path,
                    "owner": reviewed.owners.get(place),
                    "then": field.then.as_str(),
                    "personal": is_personal,
                    "count": seen.count,
                    "nulls": seen.nulls,
                    "figure": seen.figure.map(|(name, _)| name),
                    "found": seen.figure.map(|(_, number)| number),
                    "top": seen.top.map(|(value, part)| json!({ "value": value, "part": part })),
                    "drifts": verdict,
                    "past": { "nulls": nulls, "figures": figures },
                })
            })
            .collect()
    }
}

fn time(millis: i64) -> Option<String> {
    Some(jiff::Timestamp::from_millisecond(millis).ok()?.to_string())
}
