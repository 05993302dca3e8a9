//! What the usual checks of rules take: nothing from the heap, and few steps.

use bumpalo::Bump;

use super::language::trip;
use crate::expr::Cx;
use crate::expr::cx::STEPS;

#[test]
fn usual_checks_allocate_nothing() {
    let bed = trip();
    for (text, steps) in [
        ("price > decimal('0')", 4),
        ("name.contains('@')", 4),
        ("note != null && note.startsWith('h')", 8),
        ("class in ['ECONOMY', 'BUSINESS']", 6),
        ("n > 2 && big < 9007199254740994 && rate <= 0.5", 12),
        ("has(guest.home.city) && guest.home.city == 'Ulm'", 10),
        ("at < timestamp('2026-01-01T00:00:00Z')", 4),
        ("'b' in tags", 8),
        ("seats.orValue(0) + n * 2 > 5", 10),
        ("size(name) <= 40 && name.matches('^.+$')", 12),
    ] {
        let expr = bed.condition(text).expect(text);
        let arena = Bump::with_capacity(4_096);
        let mut cx = Cx {
            schema: &bed.schema,
            arena: &arena,
            bytes: &bed.bytes,
            marks: &bed.marks,
            registers: &mut [],
            record: None,
            steps: 0,
        };
        // The first match of a regular expression makes what the later ones use.
        let first = expr.eval_bool(&mut cx);
        let mut answer = None;
        let counted = allocation_counter::measure(|| answer = Some(expr.eval_bool(&mut cx)));
        assert_eq!(answer.expect("measured"), first, "{text}");
        assert_eq!(counted.count_total, 0, "{text}");
        assert!(STEPS - cx.steps <= steps, "{text}: {}", STEPS - cx.steps);
    }
}
