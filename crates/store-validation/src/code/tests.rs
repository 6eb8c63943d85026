use super::{Code, Severity};

#[test]
fn names_are_unique_and_unknown_codes_are_warnings() {
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert_eq!(code.name().parse(), Ok(*code));
        assert!(!code.name().ends_with("-unknown") || code.severity() == Severity::Warning);
    }
}

#[test]
fn a_mistyped_code_is_refused_with_the_nearest() {
    assert_eq!("no-tsl".parse::<Code>().unwrap_err().nearest, Some(Code::NoTls));
    assert_eq!("everything".parse::<Code>().unwrap_err().nearest, None);
}
