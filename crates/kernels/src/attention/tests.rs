use super::*;

#[test]
fn exp_is_right_to_three_parts_in_ten_million() {
    for step in 0..8700 {
        let x = -(step as f32) / 100.0;
        let expected = f64::from(x).exp();
        assert!((f64::from(exp(x)) / expected - 1.0).abs() < 3e-7, "e to the {x}");
    }
    assert_eq!((exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn what_is_hidden_at_the_end_is_left_out_in_steps_of_eight() {
    let mut mask = [HIDDEN; 32];
    assert_eq!(visible(&mask).len(), 0);
    mask[9] = 0;
    assert_eq!(visible(&mask).len(), 16);
}
