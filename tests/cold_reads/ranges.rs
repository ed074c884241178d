//! Queries that read ranges: round trips and bytes, counted, on real embeddings; damage; what the log says
//! of rows that are not here.
//!
//! `make test` has 20,000 rows. The whole set, for the figures of docs/benchmarks.md:
//! `QUIVER_DATA=… QUIVER_COLD_ROWS=117791 cargo test --release --test cold_reads -- ranges --nocapture`

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use quiver::{
    engine::{Accuracy, Consistency, Hit},
    error::Error,
    storage::{Hook, Operation, Verdict},
    telemetry::Usage,
};

use super::{
    TRIP,
    bed::{Bed, NAMESPACE, ask, loaded, number_of, recall},
    name, node_that, requests,
    shared::servers::Seaweed,
};

const ROWS: usize = 20_000;
const QUERIES: usize = 60;
/// Of the segment's bytes, what a cold query reads at most.
const SHARE: f64 = 0.03;
/// Rows on which the other tests are.
const FEW: usize = 8000;

fn rows() -> usize {
    std::env::var("QUIVER_COLD_ROWS").map_or(ROWS, |rows| rows.parse().expect("a number"))
}

/// What a failure shows: whole rows would bury it.
fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.row.id.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn four_round_trips_and_a_small_share_of_the_bytes() {
    let bed = Bed::new(rows(), None).await;
    let segment = bed.segment_bytes().await as f64;
    // Rows that were moved a little have neighbours unlike those of real ones, and estimates of recall are
    // off for them: ask for more, which costs more.
    let accuracy = (rows() > bed.data.rows()).then_some(Accuracy::Recall(0.98));
    for consistency in [Consistency::Strong, Consistency::Eventual] {
        let (mut found, mut bytes, mut most, mut sent) = (0.0, 0, 0, 0);
        for number in 0..QUERIES.min(bed.data.query_count()) {
            let node = bed.cold();
            let answered = ask(&node, bed.query(number, accuracy), consistency).await;
            assert_eq!(answered.usage.requests, requests(&node), "all that the answer took is reported");
            assert!(node.metrics.encode().contains("quiver_cold_queries_total{read=\"ranges\"} 1\n"));
            let (result, warm) = (answered.result.unwrap(), bed.warm(number, accuracy).await);
            assert_eq!((answered.trips, ids(&result.hits)), (4, ids(&warm.hits)), "query {number}");
            assert!(result.hits == warm.hits, "query {number}");
            assert_eq!(result.work, warm.work);
            found += recall(&result.hits, &bed.warm(number, Some(Accuracy::Exact)).await.hits);
            bytes += answered.usage.bytes_read;
            most = most.max(answered.usage.bytes_read);
            sent += answered.usage.requests;
        }
        let queries = QUERIES.min(bed.data.query_count()) as f64;
        println!(
            "{} rows, {consistency:?}: recall {:.4}, {:.0} requests, {:.0} bytes ({:.2}% of {segment}), at most {most} ({:.2}%)",
            rows(),
            found / queries,
            sent as f64 / queries,
            bytes as f64 / queries,
            bytes as f64 / queries / segment * 100.0,
            most as f64 / segment * 100.0,
        );
        assert!(found / queries >= 0.95, "recall {}", found / queries);
        assert!(
            bytes as f64 / queries <= SHARE * segment,
            "{bytes} bytes of {segment} for {queries} queries"
        );
        // The shortlist is as long for few rows, and another share of them.
        let spread = if rows() > 100_000 { 1.0 } else { 1.25 };
        assert!(most as f64 <= spread * SHARE * segment, "{most} bytes of {segment}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_follows_behind() {
    let bed = Bed::new(FEW, None).await;
    let node = bed.cold();
    let first = ask(&node, bed.query(0, None), Consistency::Strong).await;
    assert_eq!(first.trips, 4);
    // Until it is here, each query reads what it needs; heads are here already.
    let second = ask(&node, bed.query(0, None), Consistency::Strong).await;
    assert!(second.trips <= 4 && second.usage.bytes_read < first.usage.bytes_read, "{:?}", second.usage);
    loaded(&node).await;
    let strong = ask(&node, bed.query(1, None), Consistency::Strong).await;
    assert_eq!((strong.usage, strong.trips), (Usage { requests: 1, bytes_read: 0 }, 1));
    let eventual = ask(&node, bed.query(2, None), Consistency::Eventual).await;
    assert_eq!((eventual.usage, eventual.trips), (Usage::default(), 0));
    assert_eq!(eventual.result.unwrap().hits, bed.warm(2, None).await.hits);
    // Also if nobody waits for the answer any more.
    let node = bed.cold();
    let query = bed.query(0, None);
    let given_up = tokio::time::timeout(2 * TRIP, ask(&node, query, Consistency::Strong)).await;
    assert!(given_up.is_err());
    loaded(&node).await;
    assert_eq!(ask(&node, bed.query(1, None), Consistency::Strong).await.usage.requests, 1);
}

/// Rows without vectors, folded or not, are nothing to a search near one: their segments are not even asked for.
#[tokio::test(start_paused = true)]
async fn segments_without_vectors_are_not_read() {
    let bed = Bed::new(FEW, None).await;
    let before = ask(&bed.cold(), bed.query(0, None), Consistency::Strong).await;
    bed.upsert_texts(0..3000).await;
    bed.compact().await;
    let after = ask(&bed.cold(), bed.query(0, None), Consistency::Strong).await;
    let expected =
        ids(&before.result.as_ref().unwrap().hits).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        (after.trips, ids(&after.result.unwrap().hits)),
        (4, expected.iter().map(String::as_str).collect())
    );
    let manifest = 8 << 10;
    assert!(after.usage.bytes_read <= before.usage.bytes_read + manifest, "{:?}", after.usage);
    assert_eq!(after.usage.requests, before.usage.requests);

    bed.upsert_texts(2000..3100).await;
    let after = ask(&bed.cold(), bed.query(0, None), Consistency::Strong).await;
    assert_eq!(ids(&after.result.unwrap().hits), expected);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_waits_for_the_whole() {
    let mut bed = Bed::new(FEW, None).await;
    let exact = ask(&bed.cold(), bed.query(0, Some(Accuracy::Exact)), Consistency::Strong).await;
    assert_eq!(exact.result.unwrap().hits, bed.warm(0, Some(Accuracy::Exact)).await.hits);
    assert!(exact.usage.bytes_read >= bed.segment_bytes().await, "{:?}", exact.usage);
    let mut many = bed.query(0, None);
    many.top_k = 5000;
    let many = ask(&bed.cold(), many, Consistency::Strong).await;
    assert_eq!(many.result.unwrap().hits.len(), 5000);
    assert!(many.usage.bytes_read >= bed.segment_bytes().await);
    let node = bed.cold();
    let queries: Vec<_> = (0..17).map(|number| bed.query(number, None)).collect();
    let found = node.engine.query(&name(NAMESPACE), queries.clone(), Consistency::Strong).await.unwrap();
    let few =
        bed.cold().engine.query(&name(NAMESPACE), queries[..3].to_vec(), Consistency::Strong).await.unwrap();
    for (number, result) in found.iter().chain(&few).enumerate() {
        assert_eq!(result.hits, bed.warm(number % 17, None).await.hits);
    }
    // A segment that is small.
    bed.config.cache.whole_bytes = bytesize::ByteSize::gib(1);
    let whole = ask(&bed.cold(), bed.query(0, None), Consistency::Strong).await;
    assert_eq!(whole.result.unwrap().hits, bed.warm(0, None).await.hits);
    assert!(whole.usage.bytes_read >= bed.segment_bytes().await, "{:?}", whole.usage);
}

#[tokio::test(start_paused = true)]
async fn rows_that_the_log_replaced_or_removed_never_appear() {
    let bed = Bed::new(FEW, Some(Duration::from_secs(3600))).await;
    let check = async |what: &str, trips: u64, hour: bool| {
        for number in 0..12 {
            let node = bed.cold();
            if hour {
                node.clock.advance(Duration::from_secs(3601));
            }
            let answered = ask(&node, bed.query(number, None), Consistency::Strong).await;
            let (result, warm) = (answered.result.unwrap(), bed.warm(number, None).await);
            assert_eq!(ids(&result.hits), ids(&warm.hits), "{what}, query {number}");
            assert!(result.hits == warm.hits, "{what}, query {number}");
            assert!(answered.trips <= trips, "{what}: {} trips", answered.trips);
        }
    };
    let best = async |number: usize| -> Vec<Hit> { bed.warm(number, None).await.hits };
    check("nothing in the log", 4, false).await;
    // New rows, of which one is the best of all.
    bed.upsert([(FEW, number_of(&best(0).await[0])), (FEW + 1, 17)].into_iter(), None).await;
    check("new rows", 4, false).await;
    assert!(best(0).await.iter().any(|hit| number_of(hit) == FEW));
    let gone: Vec<usize> = best(1).await[..2].iter().map(number_of).collect();
    bed.delete(&gone).await;
    check("removed rows", 4, false).await;
    // The best becomes another, and another becomes the best.
    let before = best(2).await;
    let far = number_of(&best(3).await[0]);
    bed.upsert([(number_of(&before[0]), far), (far, number_of(&before[1]))].into_iter(), None).await;
    check("replaced rows", 4, false).await;
    assert!(best(2).await[..2].iter().any(|hit| number_of(hit) == far));
    // All that would be found: the whole has to say what comes next.
    let all: Vec<usize> = best(4).await.iter().map(number_of).collect();
    bed.delete(&all).await;
    bed.delete(&best(4).await.iter().map(number_of).collect::<Vec<_>>()).await;
    check("many removed rows", 8, false).await;
    // Folded: a second segment without an index, and deletes of the first.
    bed.compact().await;
    check("folded", 4, false).await;
    bed.writer.clock.advance(Duration::from_secs(3601));
    check("expired rows", 8, true).await;
    bed.upsert([(FEW + 9, 3)].into_iter(), None).await;
    check("expired rows and a log", 8, true).await;
    bed.delete_all().await;
    check("nothing at all", 4, true).await;
    bed.upsert([(1, 1), (2, 2)].into_iter(), None).await;
    check("two new rows", 4, true).await;
    assert_eq!(best(0).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn damage_is_named() {
    let bed = Bed::new(FEW, None).await;
    let whole = bed.warm(0, None).await.hits;
    for (object, step) in [("/data.arrow", 4000), ("/lookup", 1000), ("/ann.spfresh", 900)] {
        let key = bed.objects(object).await.remove(0);
        let intact = bed.store.get(&key).await.unwrap().bytes;
        // It is noticed, or the answer is right all the same. Returns whether it is noticed.
        let noticed = async |damaged: Vec<u8>| {
            bed.store.put(&key, damaged.into()).await.unwrap();
            match ask(&bed.cold(), bed.query(0, None), Consistency::Strong).await.result {
                Ok(result) => assert!(result.hits == whole, "{object}"),
                Err(Error::Corrupt { object, .. }) => {
                    assert_eq!(object, key.as_str());
                    return true;
                }
                Err(error) => panic!("{error}"),
            }
            false
        };
        let mut everywhere = intact.to_vec();
        everywhere.iter_mut().step_by(step).for_each(|byte| *byte ^= 1);
        assert!(noticed(everywhere).await, "{object}");
        assert_eq!(
            noticed(intact[..intact.len() / 2].to_vec()).await,
            object != "/lookup",
            "{object} cut off"
        );
        assert!(noticed(intact[..100].to_vec()).await, "{object} cut off");
        let mut times = 0;
        for place in (0..16).map(|place| place * intact.len() / 16) {
            let mut damaged = intact.to_vec();
            damaged[place] ^= 0x10;
            times += usize::from(noticed(damaged).await);
            let report = bed.cold().engine.verify(&name(NAMESPACE), |_| {}).await.unwrap();
            assert_eq!(report.problems[0].object, key.as_str());
        }
        println!("{object}: {times} of 16 single damages are met by a query");
        bed.store.put(&key, intact).await.unwrap();
    }
    let mended = ask(&bed.cold(), bed.query(0, None), Consistency::Strong).await;
    assert_eq!((mended.trips, mended.result.unwrap().hits), (4, whole));
    assert!(bed.cold().engine.verify(&name(NAMESPACE), |_| {}).await.unwrap().problems.is_empty());
}

/// While a query is on its way, everything is deleted, written anew, folded and collected.
#[tokio::test(start_paused = true)]
async fn what_is_collected_meanwhile_is_no_damage() {
    for what in ["/lookup", "/ann.spfresh", "/data.arrow"] {
        let bed = Arc::new(Bed::new(FEW, None).await);
        let begun = Arc::new(AtomicBool::new(false));
        let (shared, seen) = (bed.clone(), begun.clone());
        let hook: Hook = Arc::new(move |attempt| {
            let first = attempt.operation == Operation::GetRange
                && attempt.key.contains(what)
                && !seen.swap(true, Ordering::SeqCst);
            let bed = shared.clone();
            async move {
                if first {
                    let old = bed.objects("/segments/").await;
                    bed.delete_all().await;
                    bed.upsert([(1, 1), (2, 2)].into_iter(), None).await;
                    bed.compact().await;
                    bed.store.delete_many(&old).await.unwrap();
                }
                Verdict::Proceed
            }
            .boxed()
        });
        let node = node_that(&bed.store, &bed.config, Some(hook));
        let answered = ask(&node, bed.query(0, None), Consistency::Strong).await;
        assert!(begun.load(Ordering::SeqCst), "{what} is read by ranges");
        assert_eq!(answered.result.unwrap().hits, bed.warm(0, None).await.hits, "{what}");
    }
}

/// On a real server: every request of a step at once, over HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_s3() {
    let seaweed = Seaweed::start().await;
    let bed = Bed::on(seaweed.storage_config("cold"), FEW.max(rows() / 2), None).await;
    let mut elapsed = Vec::new();
    for number in 0..20 {
        let node = node_that(&bed.store, &bed.config, None);
        let began = std::time::Instant::now();
        let answered = ask(&node, bed.query(number, None), Consistency::Strong).await;
        elapsed.push(began.elapsed());
        assert!(answered.usage.bytes_read < bed.segment_bytes().await / 8, "{:?}", answered.usage);
        assert_eq!(answered.result.unwrap().hits, bed.warm(number, None).await.hits, "query {number}");
    }
    elapsed.sort_unstable();
    println!("on SeaweedFS, median {:?}, most {:?}", elapsed[elapsed.len() / 2], elapsed[elapsed.len() - 1]);
}
