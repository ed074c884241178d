//! The object store: one conformance suite on every backend, and what is particular to each.

#[path = "storage/answers.rs"]
mod answers;
#[path = "storage/bed.rs"]
mod bed;
#[path = "storage/conformance.rs"]
mod conformance;
#[path = "storage/files.rs"]
mod files;
#[path = "storage/injection.rs"]
mod injection;
#[path = "storage/refusal.rs"]
mod refusal;
#[path = "storage/requests.rs"]
mod requests;
mod support;
#[path = "storage/uploads.rs"]
mod uploads;

use bed::Bed;

conformance::suite!(memory, Bed::memory());
conformance::suite!(fs, Bed::fs());
conformance::suite!(s3, Bed::s3());
conformance::suite!(azblob, Bed::azblob());
conformance::suite!(gcs, Bed::gcs());

#[tokio::test]
async fn s3_sends_no_superfluous_request() {
    requests::each_operation_is_one_request(&Bed::s3().await, &["PUT"], "POST").await;
}

#[tokio::test]
async fn azblob_sends_no_superfluous_request() {
    requests::each_operation_is_one_request(&Bed::azblob().await, &["PUT"], "POST").await;
}

#[tokio::test]
async fn gcs_sends_no_superfluous_request() {
    requests::each_operation_is_one_request(&Bed::gcs().await, &["POST", "PUT"], "POST").await;
}

#[tokio::test]
async fn s3_sends_a_failed_part_again() {
    requests::a_failed_part_is_sent_again(&Bed::s3().await).await;
}

#[tokio::test]
async fn s3_sends_a_failed_part_of_an_upload_again() {
    requests::parts_of_an_upload_are_sent_again_or_given_up(&Bed::s3().await).await;
}
