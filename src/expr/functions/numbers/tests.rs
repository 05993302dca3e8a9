use super::*;
use proptest::prelude::*;

#[test]
fn the_middle_goes_where_the_mode_says() {
    for (above, half_even, half_up, down, up) in [
        (25, 2, 3, 2, 3),
        (35, 4, 4, 3, 4),
        (-25, -2, -3, -2, -3),
        (-35, -4, -4, -3, -4),
        (24, 2, 2, 2, 3),
        (-26, -3, -3, -2, -3),
        (20, 2, 2, 2, 2),
        (5, 0, 1, 0, 1),
    ] {
        for (mode, expect) in [
            (Mode::HalfEven, half_even),
            (Mode::HalfUp, half_up),
            (Mode::Down, down),
            (Mode::Up, up),
        ] {
            let found = quotient(&above.into(), &10.into(), mode);
            assert_eq!(found, Some(expect.into()), "{above} {mode:?}");
            let found = quotient(&(-above).into(), &(-10).into(), mode);
            assert_eq!(found, Some(expect.into()), "-{above} by -10 {mode:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_rounded_number_is_near(above: i64, below in prop::num::i64::ANY.prop_filter("no zero", |n| *n != 0)) {
        for (_, mode) in MODES {
            let Some(found) = quotient(&above.into(), &below.into(), mode) else {
                prop_assert!(mode == Mode::Exact && i128::from(above) % i128::from(below) != 0);
                continue;
            };
            let missed: BigInt = (found * below - above) * 2;
            let bound = match mode {
                Mode::HalfEven | Mode::HalfUp => BigInt::from(below),
                Mode::Exact => BigInt::ZERO,
                Mode::Down | Mode::Up => BigInt::from(below) * 2 - BigInt::from(below.signum()),
            };
            prop_assert!(missed.magnitude() <= bound.magnitude(), "{:?}", mode);
        }
    }
}
