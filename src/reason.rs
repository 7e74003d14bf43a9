//! The reason that somebody gives for a failure: an error, and the name of its type, which boxing it would lose.

use std::any::type_name;
use std::borrow::Cow;
use std::error::Error;

pub(crate) type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// An error as it was given, in a box of its own or shared.
#[derive(Debug)]
pub(crate) struct Reason<E> {
    pub(crate) error: E,
    /// `None`: the type says nothing about the error.
    pub(crate) error_type: Option<&'static str>,
}

impl Reason<BoxError> {
    /// Turning it into an error is the user's code.
    pub(crate) fn new<R: Into<BoxError>>(reason: R) -> Self {
        Reason { error: reason.into(), error_type: telling_name::<R>() }
    }
}

/// The name of a type, unless it is a text's or a box's. Names are compared with names, so it does not matter how the
/// compiler spells them; they have no lifetimes in them.
fn telling_name<R>() -> Option<&'static str> {
    let name = type_name::<R>();
    let says_nothing = [
        type_name::<&str>(),
        type_name::<String>(),
        type_name::<Cow<'_, str>>(),
        type_name::<BoxError>(),
        type_name::<Box<dyn Error>>(),
        type_name::<Box<dyn Error + Send>>(),
    ];
    (!says_nothing.contains(&name)).then_some(name)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::{fmt, io};

    #[test]
    fn an_error_is_named_by_the_type_that_was_given() {
        assert_eq!(Reason::new(fmt::Error).error_type, Some("core::fmt::Error"));
        assert_eq!(Reason::new(io::Error::other("x")).error_type, Some(type_name::<io::Error>()));
        assert_eq!(Reason::new(Box::new(fmt::Error)).error_type, Some(type_name::<Box<fmt::Error>>()));
    }

    #[test]
    fn a_text_and_an_error_in_a_box_have_no_type_to_speak_of() {
        let boxed: BoxError = Box::new(fmt::Error);
        let text = String::from("busy");
        let types = [
            Reason::new("busy").error_type,
            Reason::new(text.as_str()).error_type, // of any lifetime
            Reason::new(Cow::Borrowed(text.as_str())).error_type,
            Reason::new(text).error_type,
            Reason::new(boxed).error_type,
        ];
        assert_eq!(types, [None; 5]);
    }
}
