//! Runs a target over inputs that depend on nothing but a seed and a number.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    env, fs, panic,
    path::Path,
    sync::Once,
    time::Instant,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{allocations::measured, mutation::mutate};

/// Objects that belong together; the first of them are mutated.
pub type Input = Vec<Vec<u8>>;

/// Memory that any input may take, and what it may take for each of its bytes.
const MEMORY: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 64;
/// Of so many inputs one is damaged after it was sealed; the others are forgeries.
const DAMAGED: u64 = 8;
/// Different failures that are listed before a target is given up.
const FAILURES: usize = 12;

/// A decoder with what is needed to judge it.
pub trait Target {
    /// All that an object says, to be compared.
    type Value: PartialEq + std::fmt::Debug;

    /// The name of its test.
    const NAME: &'static str;
    /// How many parts of an input are mutated.
    const MUTATED: usize = 1;
    /// Whether inputs are text.
    const IS_TEXT: bool = false;
    /// Whether objects end in a checksum, so that no damage may change what is read.
    const IS_SEALED: bool = true;
    /// At least so many different reasons are given for refusing inputs: else most are refused early.
    const REASONS: usize;
    /// The share of the inputs that the test takes, for slow targets.
    const SHARE: u64 = 1;

    /// Contents, before they are sealed, that real writers made; and some that no writer makes.
    fn corpus(&self) -> Vec<Input>;

    /// The objects of these contents, with checksums that match.
    fn seal(&self, content: &Input) -> Input {
        content.clone()
    }

    /// Decodes and uses everything. A panic is a failure.
    fn read(&self, objects: &Input) -> Result<Self::Value, String>;

    /// The same written anew.
    fn write(&self, _value: &Self::Value) -> Option<Input> {
        None
    }
}

/// Which inputs.
struct Plan {
    seed: u64,
    cases: std::ops::Range<u64>,
}

impl Plan {
    fn new(share: u64) -> Self {
        let number = |name: &str| {
            env::var(name)
                .ok()
                .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
        };
        let cases = match number("QUIVER_FUZZ_CASE") {
            Some(case) => case..case + 1,
            None => 0..number("QUIVER_FUZZ_CASES").unwrap_or(20_000 / share),
        };
        Self { seed: number("QUIVER_FUZZ_SEED").unwrap_or(1), cases }
    }
}

/// What was found.
#[derive(Default)]
struct Report {
    read: u64,
    refused: u64,
    reasons: BTreeSet<String>,
    largest: usize,
    failures: BTreeMap<String, String>,
}

/// Runs the target over its share of inputs.
pub fn run<T: Target>(target: &T) {
    let plan = Plan::new(T::SHARE);
    let corpus = target.corpus();
    let originals: Vec<_> = corpus.iter().map(|content| target.read(&target.seal(content))).collect();
    assert!(originals.iter().any(Result::is_ok), "{}: nothing of the corpus is read", T::NAME);
    let (began, mut report) = (Instant::now(), Report::default());
    for case in plan.cases.clone() {
        let mut random = SmallRng::seed_from_u64(plan.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ case);
        let chosen = random.random_range(0..corpus.len());
        let is_damage = T::IS_SEALED && case % DAMAGED == 0;
        let objects = match is_damage {
            true => mutated::<T>(target.seal(&corpus[chosen]), &corpus, &mut random),
            false => target.seal(&mutated::<T>(corpus[chosen].clone(), &corpus, &mut random)),
        };
        let original = is_damage.then_some(&originals[chosen]);
        match judge(target, &objects, original, &mut report) {
            Ok(()) => {}
            Err(failure) if report.failures.len() < FAILURES => {
                report.failures.entry(without_digits(&failure)).or_insert_with(|| {
                    format!("{failure}\n{}", how_to_replay(T::NAME, plan.seed, case, &objects))
                });
            }
            Err(_) => break,
        }
    }
    let Report { read, refused, reasons, largest, failures } = report;
    println!(
        "{}: {} inputs in {:.1} s, {read} read, {refused} refused for {} reasons, at most {largest} bytes of memory",
        T::NAME,
        read + refused,
        began.elapsed().as_secs_f64(),
        reasons.len(),
    );
    if env::var("QUIVER_FUZZ_REASONS").is_ok() {
        reasons.iter().for_each(|reason| println!("  {reason}"));
    }
    let failures: Vec<_> = failures.into_values().collect();
    assert!(failures.is_empty(), "{}: {} failures\n{}", T::NAME, failures.len(), failures.join("\n\n"));
    let is_share = plan.cases.end - plan.cases.start >= 1000;
    assert!(
        !is_share || (read > 0 && reasons.len() >= T::REASONS),
        "{} is not reached: {reasons:#?}",
        T::NAME
    );
}

fn mutated<T: Target>(mut input: Input, corpus: &[Input], random: &mut SmallRng) -> Input {
    let part = random.random_range(0..T::MUTATED);
    let others: Vec<&[u8]> = corpus.iter().map(|other| other[part].as_slice()).collect();
    mutate(&mut input[part], &others, T::IS_TEXT, random);
    input
}

/// Reads an input; an error is a failure of the decoder. `original` is what it was before damage.
fn judge<T: Target>(
    target: &T,
    objects: &Input,
    original: Option<&Result<T::Value, String>>,
    report: &mut Report,
) -> Result<(), String> {
    let (outcome, peak) = measured(|| guarded(|| target.read(objects)));
    let bytes: usize = objects.iter().map(Vec::len).sum();
    if peak > MEMORY + MEMORY_PER_BYTE * bytes {
        return Err(format!("{bytes} bytes of input took {peak} bytes of memory"));
    }
    report.largest = report.largest.max(peak);
    match outcome? {
        Err(reason) if reason.is_empty() => return Err("it is refused without a reason".into()),
        Err(reason) => {
            report.refused += 1;
            report.reasons.insert(without_digits(&reason));
        }
        Ok(value) => {
            report.read += 1;
            if original.is_some_and(|original| original.as_ref() != Ok(&value)) {
                return Err(format!("damage goes unnoticed: {value:?}"));
            }
            if let Some(again) = guarded(|| target.write(&value))?
                && guarded(|| target.read(&again))? != Ok(value)
            {
                return Err("what was read, written anew, is read as something else".into());
            }
        }
    }
    Ok(())
}

fn without_digits(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).take(100).collect()
}

fn how_to_replay(name: &str, seed: u64, case: u64, objects: &Input) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    let mut text = format!(
        "  replay: QUIVER_FUZZ_SEED={seed} QUIVER_FUZZ_CASE={case} cargo test --locked --test fuzz {name} -- --exact --nocapture\n  input:"
    );
    fs::create_dir_all(&folder).expect("the folder for inputs");
    for (part, bytes) in objects.iter().enumerate() {
        let file = folder.join(format!("{name}-{seed}-{case}.{part}"));
        fs::write(&file, bytes).expect("the input can be written");
        text.push_str(&format!(" {}", file.display()));
    }
    text
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Catches a panic, as what it said and where; also one that was caught further down.
fn guarded<V>(work: impl FnOnce() -> V) -> Result<V, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| match GUARDED.get() {
            true => PANIC.set(info.to_string()),
            false => usual(info),
        }));
    });
    PANIC.take();
    GUARDED.set(true);
    let result = panic::catch_unwind(panic::AssertUnwindSafe(work));
    GUARDED.set(false);
    let panic = PANIC.take();
    if panic.is_empty() { result.map_err(|_| "it panicked".into()) } else { Err(panic) }
}
