//! How fast rows become durable: `cargo bench --bench ingest`.
//!
//! A server process takes batches of 1,000 rows over HTTP and acknowledges them when they are in
//! its store, flushed. Beside it, in the same run and on the same disk, the layout of one object
//! per row is written by this process, which spares it HTTP, parsing and directory syncs: whatever
//! is uneven favours the baseline. Cases take turns, so that a disturbance hits all of them.

#[path = "../tests/support/mod.rs"]
mod shared;
mod support;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use opendal::Operator;
use reqwest::Method;
use serde_json::{Value, json};
use shared::program::{Server, Workdir};
use shared::servers::Seaweed;
use support::{
    classic,
    client::{self, Prepared, counters, send_all, store_requests},
    data::DataSet,
};

const BATCH_ROWS: usize = 1000;
/// Batches of a round, sent to a namespace of its own.
const BATCHES: usize = 16;
/// A case is measured this often, and each time for this long at least.
const TURNS: usize = 3;
const TURN: Duration = Duration::from_millis(1200);
const CLASSIC_ROWS: usize = 500;
const SEAWEED_ROUNDS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Arrow,
}

/// What was measured of one case.
#[derive(Debug, Default)]
struct Figures {
    rows: usize,
    time: Duration,
    store: BTreeMap<String, f64>,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.rows as f64 / self.time.as_secs_f64()
    }

    fn store_requests(&self) -> f64 {
        self.store.values().sum()
    }
}

#[tokio::main]
async fn main() {
    if !support::measuring() {
        return;
    }
    let data = DataSet::load();
    support::headline("ingest, local filesystem");
    println!("batches of {BATCH_ROWS} rows; every figure is of rows that were acknowledged as durable");
    for dimension in [384, 1024] {
        on_files(&data, dimension).await;
    }
    support::headline("ingest, S3 (SeaweedFS on loopback)");
    on_seaweed(&data, 384).await;
}

struct Case {
    format: Format,
    clients: usize,
    figures: Figures,
}

async fn on_files(data: &DataSet, dimension: usize) {
    let workdir = Workdir::new();
    let server = Arc::new(workdir.serve(&[]));
    let mut cases: Vec<Case> = [(Format::Json, 1), (Format::Json, 8), (Format::Arrow, 1), (Format::Arrow, 8)]
        .map(|(format, clients)| Case { format, clients, figures: Figures::default() })
        .into();
    let bodies = [Format::Json, Format::Arrow].map(|format| bodies(data, dimension, format));
    let mut baseline = Classic::new(&workdir, data, dimension);
    let mut namespaces = 0..;
    for _ in 0..TURNS {
        for case in &mut cases {
            let start = Instant::now();
            while start.elapsed() < TURN {
                let namespace = format!("bench-{}", namespaces.next().expect("endless"));
                round(&server, &namespace, &bodies[case.format as usize], case).await;
            }
        }
        baseline.turn().await;
    }
    let [files, objects] = &baseline.figures;
    println!(
        "\nd = {dimension}\n{:<36} {:>9} {:>10} {:>12} {:>14} {:>18}",
        "", "clients", "rows/s", "× raw files", "× via OpenDAL", "store req./1k rows"
    );
    let print = |name: &str, clients: &str, figures: &Figures, requests: f64| {
        println!(
            "{name:<36} {clients:>9} {:>10.0} {:>12.1} {:>14.1} {:>18.1}",
            figures.rate(),
            figures.rate() / files.rate(),
            figures.rate() / objects.rate(),
            1000.0 * requests / figures.rows as f64
        );
    };
    let of_layout = |figures: &Figures| (2 * figures.rows + 2 * figures.rows / CLASSIC_ROWS) as f64;
    print("one object per row, raw files", "16 tasks", files, of_layout(files));
    print("one object per row, via OpenDAL", "16 tasks", objects, of_layout(objects));
    for case in &cases {
        let name = format!("quiver, {:?} bodies", case.format);
        print(&name, &case.clients.to_string(), &case.figures, case.figures.store_requests());
    }
}

/// Writes the batches to a new namespace, and drops it when the clock has stopped.
async fn round(server: &Arc<Server>, namespace: &str, bodies: &[Bytes], case: &mut Case) {
    let content_type = match case.format {
        Format::Json => "application/json",
        Format::Arrow => "application/vnd.apache.arrow.stream",
    };
    let path = format!("/v1/namespaces/{namespace}");
    let upsert = |body: &Bytes| Prepared {
        method: Method::POST,
        path: format!("{path}/vectors"),
        content_type,
        body: body.clone(),
    };
    let lifecycle = |method: Method, body: &'static str| Prepared {
        method,
        path: path.clone(),
        content_type: "application/json",
        body: body.into(),
    };
    let client = client::new_client();
    lifecycle(Method::PUT, "{}").send(&client, server).await;
    // The first entry of a new namespace creates its directory, which is not what is measured.
    upsert(&bodies[0]).send(&client, server).await;
    let requests: Arc<Vec<_>> = Arc::new(bodies[1..].iter().map(upsert).collect());
    let before = counters(server).await;
    let (time, _) = send_all(server, requests.clone(), case.clients).await;
    for (operation, count) in store_requests(&before, &counters(server).await) {
        *case.figures.store.entry(operation).or_default() += count;
    }
    case.figures.time += time;
    case.figures.rows += requests.len() * BATCH_ROWS;
    lifecycle(Method::DELETE, "").send(&client, server).await;
}

fn bodies(data: &DataSet, dimension: usize, format: Format) -> Vec<Bytes> {
    let batch = |batch: usize| {
        let start = batch * BATCH_ROWS;
        let vectors = data.values(start * dimension, BATCH_ROWS * dimension);
        match format {
            Format::Json => json_body(start, &vectors, dimension),
            Format::Arrow => arrow_body(start, vectors, dimension),
        }
    };
    (0..BATCHES).map(batch).collect()
}

fn json_body(start: usize, vectors: &[f32], dimension: usize) -> Bytes {
    let rows = vectors.chunks_exact(dimension).enumerate();
    let rows = rows.map(|(row, values)| json!({ "id": format!("row-{}", start + row), "values": values }));
    json!({ "vectors": rows.collect::<Vec<Value>>() }).to_string().into()
}

fn arrow_body(start: usize, vectors: Vec<f32>, dimension: usize) -> Bytes {
    let ids = StringArray::from_iter_values((start..start + BATCH_ROWS).map(|row| format!("row-{row}")));
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let length = i32::try_from(dimension).expect("a small dimension");
    let vectors = FixedSizeListArray::new(item, length, Arc::new(Float32Array::from(vectors)), None);
    let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(ids)), ("values", Arc::new(vectors))];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of equal length");
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).expect("a writer");
    writer.write(&batch).expect("a batch in memory");
    writer.into_inner().expect("an end").into()
}

/// The baseline in both of its ways: raw files, and through OpenDAL.
struct Classic<'a> {
    workdir: &'a Workdir,
    batches: Vec<classic::Batch>,
    turns: usize,
    figures: [Figures; 2],
}

impl<'a> Classic<'a> {
    fn new(workdir: &'a Workdir, data: &DataSet, dimension: usize) -> Self {
        let batch = |batch: usize| {
            let start = batch * CLASSIC_ROWS;
            let vectors = data.values(start * dimension, CLASSIC_ROWS * dimension);
            classic::Batch::new(start, &vectors, dimension)
        };
        Self { workdir, batches: (0..4).map(batch).collect(), turns: 0, figures: <[Figures; 2]>::default() }
    }

    async fn turn(&mut self) {
        self.turns += 1;
        let files = self.workdir.path(&format!("classic-files-{}", self.turns));
        let objects = self.workdir.path(&format!("classic-objects-{}", self.turns));
        let service = opendal_service_fs::Fs::default().root(objects.to_str().expect("a plain path"));
        let store = Operator::new(service).expect("a directory");
        let start = Instant::now();
        for batch in self.batches.iter().cycle().take_while(|_| start.elapsed() < TURN) {
            let start = Instant::now();
            tokio::task::block_in_place(|| classic::write_files(&files, batch));
            self.figures[0].time += start.elapsed();
            self.figures[0].rows += batch.len();
        }
        let start = Instant::now();
        for batch in self.batches.iter().cycle().take_while(|_| start.elapsed() < TURN) {
            let start = Instant::now();
            classic::write_objects(&store, batch).await;
            self.figures[1].time += start.elapsed();
            self.figures[1].rows += batch.len();
        }
    }
}

async fn on_seaweed(data: &DataSet, dimension: usize) {
    let store = Seaweed::start().await;
    let workdir = Workdir::new();
    workdir.write("quiver.toml", store.storage_toml("bench"));
    let server = Arc::new(workdir.serve(&[]));
    let bodies = bodies(data, dimension, Format::Arrow);
    println!(
        "\nd = {dimension}, Arrow bodies\n{:>9} {:>10} {:>9} {:>18} {:>18}  requests by operation",
        "clients", "rows/s", "commits", "requests/commit", "req./1k rows"
    );
    for clients in [1, 8] {
        let mut case = Case { format: Format::Arrow, clients, figures: Figures::default() };
        let before = counters(&server).await;
        for round_number in 0..SEAWEED_ROUNDS {
            round(&server, &format!("bench-{clients}-{round_number}"), &bodies, &mut case).await;
        }
        // Each round wrote an entry before its clock and one, the seal, after it.
        let commits = commits(&counters(&server).await) - commits(&before) - 2.0 * SEAWEED_ROUNDS as f64;
        let Figures { rows, store, .. } = &case.figures;
        println!(
            "{clients:>9} {:>10.0} {commits:>9} {:>18.2} {:>18.2}  {store:?}",
            case.figures.rate(),
            case.figures.store_requests() / commits,
            1000.0 * case.figures.store_requests() / *rows as f64,
        );
    }
}

fn commits(counters: &BTreeMap<String, f64>) -> f64 {
    let committed = |name: &str| name.starts_with("quiver_commits_total") && name.contains("committed");
    counters.iter().filter(|(name, _)| committed(name)).map(|(_, value)| value).sum()
}
