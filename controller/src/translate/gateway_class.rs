//! GatewayClasses: which are ours, and whether we can do what they ask for.

use std::collections::BTreeMap;

use super::Problems;
use crate::api::CONTROLLER_NAME;
use crate::object::ObjectRef;
use crate::snapshot::Snapshot;
use crate::status::{Conditions, Fault, GatewayClassStatus, SUPPORTED_FEATURES, Statuses};

/// Our classes, each with what is wrong with it.
pub(super) type Classes<'a> = BTreeMap<&'a str, Vec<Fault>>;

/// Finds our classes and sets their status.
pub(super) fn translate<'a>(
    snapshot: &'a Snapshot,
    statuses: &mut Statuses,
    problems: &mut Problems,
) -> Classes<'a> {
    let mut classes = Classes::new();
    for (name, class) in &snapshot.gateway_classes {
        if class.spec.controller_name != CONTROLLER_NAME {
            continue;
        }
        let mut faults = Vec::new();
        if let Some(parameters) = &class.spec.parameters_ref {
            let message =
                format!("gatewasm takes no parameters, so {:?} cannot be used; remove it.", parameters.kind);
            faults.push(Fault::new("spec.parametersRef", "InvalidParameters", message));
        }
        problems.errors(&ObjectRef::cluster("GatewayClass", name), &faults);
        let conditions = vec![Conditions::of(&class.metadata).class_accepted(&faults)];
        let supported_features = SUPPORTED_FEATURES.to_vec();
        statuses.gateway_classes.insert(name.clone(), GatewayClassStatus { conditions, supported_features });
        classes.insert(name, faults);
    }
    classes
}
