//! A store that ignores conditions is refused at start, with a message that names it and the rule.

use std::sync::Arc;

use opendal::{
    Capability, OperationContext, Operator,
    raw::{
        Layer, OpCopy, OpCreateDir, OpList, OpPresign, OpRead, OpRename, OpStat, OpWrite, RpCreateDir,
        RpPresign, RpRename, RpStat, Service, ServiceInfo, Servicer, oio,
    },
};
use quiver::{
    config::BackendConfig,
    storage::{Beneath, ProbeError},
};

use crate::bed::Bed;

/// Drops the conditions of writes, as some stores do.
#[derive(Debug, Clone, Copy)]
struct Careless;

impl Layer for Careless {
    fn apply_service(&self, inner: Servicer) -> Servicer {
        Arc::new(CarelessService(inner))
    }
}

#[derive(Debug)]
struct CarelessService(Servicer);

impl Service for CarelessService {
    type Reader = oio::Reader;
    type Writer = oio::Writer;
    type Lister = oio::Lister;
    type Deleter = oio::Deleter;
    type Copier = oio::Copier;
    type Composer = oio::Composer;

    fn info(&self) -> ServiceInfo {
        self.0.info()
    }

    fn capability(&self) -> Capability {
        self.0.capability()
    }

    async fn create_dir(
        &self,
        context: &OperationContext,
        path: &str,
        args: OpCreateDir,
    ) -> opendal::Result<RpCreateDir> {
        self.0.create_dir(context, path, args).await
    }

    async fn stat(&self, context: &OperationContext, path: &str, args: OpStat) -> opendal::Result<RpStat> {
        self.0.stat(context, path, args).await
    }

    fn read(&self, context: &OperationContext, path: &str, args: OpRead) -> opendal::Result<oio::Reader> {
        self.0.read(context, path, args)
    }

    fn write(&self, context: &OperationContext, path: &str, _: OpWrite) -> opendal::Result<oio::Writer> {
        self.0.write(context, path, OpWrite::new())
    }

    fn delete(&self, context: &OperationContext) -> opendal::Result<oio::Deleter> {
        self.0.delete(context)
    }

    fn list(&self, context: &OperationContext, path: &str, args: OpList) -> opendal::Result<oio::Lister> {
        self.0.list(context, path, args)
    }

    fn copy(
        &self,
        context: &OperationContext,
        from: &str,
        to: &str,
        args: OpCopy,
    ) -> opendal::Result<oio::Copier> {
        self.0.copy(context, from, to, args)
    }

    async fn rename(
        &self,
        context: &OperationContext,
        from: &str,
        to: &str,
        args: OpRename,
    ) -> opendal::Result<RpRename> {
        self.0.rename(context, from, to, args).await
    }

    async fn presign(
        &self,
        context: &OperationContext,
        path: &str,
        args: OpPresign,
    ) -> opendal::Result<RpPresign> {
        self.0.presign(context, path, args).await
    }
}

async fn is_refused(bed: &Bed, beneath: &Beneath) {
    let (store, _) = bed.store_over(beneath);
    let error = store.probe().await.expect_err("it ignores conditions");
    let ProbeError::BrokenContract { store: named, rule, .. } = &error else { panic!("{error}") };
    assert_eq!(*named, store.location());
    assert!(rule.contains("put-if-absent"), "{rule}");
    let text = error.to_string();
    assert!(text.contains("breaks the rule that") && text.contains("refusing to start"), "{text}");
}

#[tokio::test]
async fn fake_gcs_server() {
    is_refused(&Bed::fake_gcs().await, &Beneath::default()).await;
}

#[tokio::test]
async fn any_store_whose_conditions_get_lost() {
    let careless = Beneath {
        layer: Some(Arc::new(|operator: Operator| operator.layer(Careless))),
        ..Beneath::default()
    };
    for bed in [Bed::memory().await, Bed::s3().await, Bed::azblob().await] {
        is_refused(&bed, &careless).await;
        let left = bed.store().list("probe/", None, 10).await.expect("listed");
        assert!(left.is_empty(), "the probe leaves nothing behind: {left:?}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_told_apart() {
    let mut bed = Bed::azblob().await;
    let BackendConfig::Azblob { container, .. } = &mut bed.config.backend else { unreachable!() };
    *container = "missing".into();
    let error = bed.store().probe().await.expect_err("no such container");
    assert!(matches!(error, ProbeError::Store(_)), "{error}");
}
