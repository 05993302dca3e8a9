//! scratch
mod apart;
mod cases;
mod data;
mod oracle;
mod random;
mod text;
#[path = "../support/skip.rs"]
mod skip;

#[test]
fn scratch() {
    let folder = skip::real_part("cel").expect("there");
    let cases = cases::read(&folder);
    eprintln!("{}", cases.len());
    use rand::SeedableRng;
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let env = oracle::environment();
    let shape = random::record_shape(&mut rng);
    let mut errors = 0;
    let begun = std::time::Instant::now();
    for i in 0..2000 {
        let data::Data::Record(fields) = random::value(&mut rng, &shape) else { panic!() };
        let expr = random::Maker::new(&mut rng).any(4);
        let text = expr.print(random::Style::default());
        let result = oracle::evaluate(&env, &text, &fields);
        if i < 60 { eprintln!("{text}\n   {result:?}"); }
        if !matches!(result, Ok(Ok(_))) { errors += 1; if let Ok(Err(e)) = &result { if e.contains("overload") || e.contains("eclared") { eprintln!("{text}\n  {e}"); } } }
    }
    eprintln!("errors {errors} {:?}", begun.elapsed());
}
