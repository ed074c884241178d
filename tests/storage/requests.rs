//! Every operation costs the HTTP requests it must and no more, and the metrics say so.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use opendal::{Buffer, HttpBody, HttpTransport, HttpTransporter};
use opendal_http_transport_reqwest::ReqwestTransport;
use quiver::storage::{Beneath, Operation, StoreErrorKind};

use crate::bed::{Bed, Keys};

/// A transport that keeps the method of each request.
#[derive(Debug, Clone, Default)]
struct Counting {
    inner: ReqwestTransport,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Counting {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock().expect("no panic while held"))
    }
}

impl HttpTransport for Counting {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        self.sent.lock().expect("no panic while held").push(request.method().to_string());
        self.inner.fetch(request).await
    }
}

/// Fails the first request whose URL contains this.
#[derive(Debug, Clone)]
struct FailsOnce {
    inner: Counting,
    part: &'static str,
    failed: Arc<AtomicBool>,
}

impl HttpTransport for FailsOnce {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let hit = request.uri().to_string().contains(self.part);
        let answer = self.inner.fetch(request).await;
        if hit && !self.failed.swap(true, Ordering::Relaxed) {
            return Err(opendal::Error::new(opendal::ErrorKind::Unexpected, "reply lost").set_temporary());
        }
        answer
    }
}

/// A blob over the limit for a single PUT is sent in parts, and only a part that failed is sent again.
pub async fn a_failed_part_is_sent_again(bed: &Bed) {
    let counting = Counting::default();
    let flaky = FailsOnce { inner: counting.clone(), part: "partNumber=2", failed: Arc::default() };
    let beneath = Beneath { transport: Some(HttpTransporter::new(flaky.clone())), ..Beneath::default() };
    let (store, _) = bed.store_over(&beneath);
    let key = Keys::new().key("blob");
    let blob = Bytes::from_iter((0..40 << 20).map(|at: u32| (at % 253) as u8));
    store.put(&key, blob.clone()).await.expect("the second try");
    assert!(flaky.failed.load(Ordering::Relaxed), "nothing was tested");
    let mut sent = counting.taken();
    sent.sort();
    assert_eq!(sent, ["POST", "POST", "PUT", "PUT", "PUT", "PUT"], "begin, three parts, one again, end");
    assert!(store.get(&key).await.expect("it exists").bytes == blob);
}

/// The same for an upload, and one that is dropped is given up at the store.
pub async fn parts_of_an_upload_are_sent_again_or_given_up(bed: &Bed) {
    let counting = Counting::default();
    let flaky = FailsOnce { inner: counting.clone(), part: "partNumber=2", failed: Arc::default() };
    let beneath = Beneath { transport: Some(HttpTransporter::new(flaky.clone())), ..Beneath::default() };
    let (store, metrics) = bed.store_over(&beneath);
    let key = Keys::new().key("blob");
    let blob = Bytes::from_iter((0..20 << 20).map(|at: u32| (at % 253) as u8));
    let mut upload = store.upload(&key);
    upload.write(blob.clone()).await.expect("taken");
    upload.finish().await.expect("the second try");
    assert!(flaky.failed.load(Ordering::Relaxed), "nothing was tested");
    let mut sent = counting.taken();
    sent.sort();
    assert_eq!(sent, ["POST", "POST", "PUT", "PUT", "PUT", "PUT"], "begin, three parts, one again, end");
    assert_eq!(metrics.store.requests("upload"), 6);
    assert!(metrics.encode().contains("quiver_store_retries_total{operation=\"upload\"} 1"));
    assert!(store.get(&key).await.expect("it exists").bytes == blob);

    counting.taken();
    let mut upload = store.upload(&key);
    upload.write(blob).await.expect("taken");
    upload.write(Bytes::from_static(b"x")).await.expect("taken");
    drop(upload);
    let given_up = async {
        while !counting.taken().iter().any(|method| method == "DELETE") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, given_up).await.expect("its parts are deleted");
}

/// What a conditional write sends: one request, or two where it is a resumable upload.
pub async fn each_operation_is_one_request(bed: &Bed, conditional_write: &[&str], batch_delete: &str) {
    let counting = Counting::default();
    let beneath = Beneath { transport: Some(HttpTransporter::new(counting.clone())), ..Beneath::default() };
    let (store, metrics) = bed.store_over(&beneath);
    let names = Keys::new();
    let (key, other) = (names.key("manifest"), names.key("log/1"));
    let mut total: BTreeMap<Operation, usize> = BTreeMap::new();
    let mut sent = |operation: Operation, expected: &[&str]| {
        assert_eq!(counting.taken(), expected, "{operation:?}");
        *total.entry(operation).or_default() += expected.len();
        let counted = metrics.store.requests(operation.as_str());
        assert_eq!(counted, total[&operation] as u64, "the metric of {operation:?}");
        assert_eq!(store.requests(operation), counted);
    };

    let missing = store.get(&key).await.expect_err("not yet").kind;
    assert_eq!(missing, StoreErrorKind::NotFound);
    sent(Operation::Get, &["GET"]);
    let tag = store.put_if_absent(&key, vec![1; 1_000_000].into()).await.expect("written");
    sent(Operation::PutIfAbsent, conditional_write);
    let lost = store.put_if_absent(&key, vec![2; 100].into()).await.expect_err("exists").kind;
    assert_eq!(lost, StoreErrorKind::Conflict);
    let lost = counting.taken().len();
    assert!((1..=conditional_write.len()).contains(&lost), "a lost put-if-absent sent {lost} requests");
    let next = store.cas(&key, &tag, vec![3; 1_000_000].into()).await.expect("current");
    sent(Operation::Cas, conditional_write);
    store.get(&key).await.expect("it exists");
    sent(Operation::Get, &["GET"]);
    store.get_settled(&key).await.expect("it exists");
    sent(Operation::GetSettled, &["GET"]);
    assert!(store.get_if_changed(&key, &next).await.expect("it exists").is_none());
    sent(Operation::GetIfChanged, &["GET"]);
    assert!(store.get_if_changed(&key, &tag).await.expect("it exists").is_some());
    sent(Operation::GetIfChanged, &["GET"]);
    store.get_range(&key, 5..500_000).await.expect("within");
    sent(Operation::GetRange, &["GET"]);
    store.get_range(&key, 5..5).await.expect("nothing");
    sent(Operation::GetRange, &[]);
    // Both lie closer to each other than a request is worth.
    store.get_ranges(&key, &[5..10, 100_000..200_000]).await.expect("within");
    sent(Operation::GetRanges, &["GET"]);
    store.size(&key).await.expect("it exists");
    assert_eq!(counting.taken().len(), 1, "size");
    store.put(&other, vec![4; 1_000_000].into()).await.expect("written");
    assert_eq!(counting.taken().len(), 1, "a small put is not split");
    store.list(&names.prefix(), None, 10).await.expect("listed");
    sent(Operation::List, &["GET"]);
    store.delete_many(&[key, other]).await.expect("deleted");
    sent(Operation::Delete, &[batch_delete]);
}
