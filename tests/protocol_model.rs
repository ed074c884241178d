#[test]
fn t() { let _ = stateright::HasDiscoveries::AnyFailures; }
