//! The last question before code begins: may it still? Whoever hands an attempt in answers it, at the moment itself: what
//! was right when the attempt came may no longer be after a wait, or after the process was frozen.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

type Answer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Passed right before an attempt's code or request begins. One that stays shut holds the attempt until it is cancelled.
#[derive(Clone, Default)]
pub struct Gate(Option<Arc<dyn Fn() -> Answer + Send + Sync>>);

impl Gate {
    /// A gate that opens when the future that this makes is done.
    pub fn new<F: Future<Output = ()> + Send + 'static>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(move || Box::pin(ask()))))
    }

    /// Waits until the attempt may begin.
    pub async fn pass(&self) {
        if let Some(ask) = &self.0 {
            ask().await;
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
