//! What a mail says: its kinds, the templates and who may replace them, languages, dates, the company's brand.
//!
//! Before it: the notifier with a row of its ledger, or `rollcall mail preview`. After it: the mail itself.
//! Pure but for [`templates::Templates::load`], which reads a folder once.

pub mod brand;
pub mod calendar;
mod files;
pub mod kind;
pub mod letter;
pub mod line;
mod phrases;
pub mod sample;
mod set;
pub mod templates;

pub use kind::Kind;
pub use letter::{Item, Letter, Words};
pub use templates::Templates;
