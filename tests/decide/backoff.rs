//! When a difference between what is shown and what must be there is believed.

use rebalanced::decide::backoff::{Difference, LOOKS_FOR_LAG};
use rebalanced::model::time::Span;

fn words(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn row_36_a_difference_that_stands_still_is_believed_after_a_minute() {
    let (mut difference, mut looks, mut waited) = (Difference::default(), 0, Span::ZERO);
    while let Some(pause) = difference.again(&words("the same")) {
        looks += 1;
        waited += pause;
    }
    assert_eq!(looks, LOOKS_FOR_LAG);
    assert!((45..=75).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn row_55_a_difference_that_changes_at_the_last_look_is_looked_at_again() {
    let mut difference = Difference::default();
    for _ in 0..LOOKS_FOR_LAG {
        assert!(difference.again(&words("the figures lag")).is_some());
    }
    // A deposit is booked that the figures do not show yet.
    assert!(difference.again(&words("the figures lag, and 2181 dollars are booked")).is_some());
    assert!(difference.again(&words("the figures lag, and 2181 dollars are booked")).is_none(), "now it stands still");
}

#[test]
fn l10_a_difference_that_changes_at_every_look_is_believed_in_the_end() {
    let mut difference = Difference::default();
    let looks = (0..100).take_while(|nth| difference.again(&words(&format!("{nth}"))).is_some()).count();
    assert_eq!(looks, 2 * LOOKS_FOR_LAG as usize);
}
