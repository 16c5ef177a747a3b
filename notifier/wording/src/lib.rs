//! Mail content: kinds, templates and their replacements, languages, dates, the company's brand.
//!
//! Used by the notifier and by `rollcall mail preview`. Pure except for [`templates::Templates::load`], which reads a
//! folder once.

pub mod brand;
pub mod calendar;
mod files;
pub mod kind;
pub mod letter;
pub mod line;
mod notice;
mod phrases;
pub mod sample;
mod set;
pub mod templates;

pub use kind::Kind;
pub use letter::{Item, Letter, Words};
pub use notice::{KeyNotice, NoticeWords};
pub use templates::Templates;
