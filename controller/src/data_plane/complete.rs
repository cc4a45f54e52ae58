//! The part of a Gateway's status that only its data plane can tell: addresses, and whether it is programmed.

use crate::provision::addresses::Addresses;
use crate::status::{Condition, ConditionStatus, GatewayStatus, ListenerSetStatus, PROGRAMMED};

use super::programmed::Judgement;

/// Completes what `translate` says of a Gateway. What is wrong in its own spec goes before what is wrong in its data
/// plane.
pub fn complete(status: &mut GatewayStatus, judgement: &Judgement, addresses: Addresses) {
    status.addresses = Some(addresses.usable);
    let Some(programmed) = status.conditions.iter_mut().find(|condition| condition.kind == PROGRAMMED) else {
        return;
    };
    if programmed.status == ConditionStatus::False {
        return;
    }
    if let Some(fault) = addresses.faults.first() {
        let lines: Vec<String> = addresses.faults.iter().map(ToString::to_string).collect();
        refuse(programmed, fault.reason, &lines.join("\n"));
    } else {
        match &judgement.programmed {
            Ok(None) => {}
            Ok(Some(remark)) => programmed.message = format!("{} {remark}", programmed.message),
            Err(why) => refuse(programmed, why.reason, &why.message),
        }
    }
    if judgement.programmed.is_err() {
        let conditions = status.listeners.iter_mut().flat_map(|listener| &mut listener.conditions);
        refuse_all(conditions, "Pending");
    }
}

/// Completes what `translate` says of a ListenerSet of the Gateway.
pub fn complete_listener_set(status: &mut ListenerSetStatus, judgement: &Judgement) {
    if judgement.programmed.is_err() {
        refuse_all(status.conditions.iter_mut(), "ParentNotProgrammed");
        let conditions = status.listeners.iter_mut().flat_map(|listener| &mut listener.conditions);
        refuse_all(conditions, "Pending");
    }
}

/// What is `Programmed` is not, because the data plane is not.
fn refuse_all<'c>(conditions: impl Iterator<Item = &'c mut Condition>, reason: &str) {
    let message = "The Gateway's data plane does not serve it yet; see the Gateway's conditions.";
    for condition in conditions.filter(|it| it.kind == PROGRAMMED && it.status == ConditionStatus::True) {
        refuse(condition, reason, message);
    }
}

fn refuse(condition: &mut Condition, reason: &str, message: &str) {
    condition.status = ConditionStatus::False;
    reason.clone_into(&mut condition.reason);
    message.clone_into(&mut condition.message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::Unprogrammed;
    use crate::fault::Fault;
    use crate::provision::addresses::{AddressType, StatusAddress};
    use crate::status::ListenerStatus;

    fn condition(status: ConditionStatus) -> Condition {
        Condition {
            kind: PROGRAMMED,
            status,
            reason: "Said".into(),
            message: "Said.".into(),
            observed_generation: 1,
        }
    }

    fn status(gateway: ConditionStatus, listener: ConditionStatus) -> GatewayStatus {
        let listener = ListenerStatus {
            name: "http".into(),
            supported_kinds: vec![],
            attached_routes: 0,
            conditions: vec![condition(listener)],
        };
        GatewayStatus {
            conditions: vec![condition(gateway)],
            listeners: vec![listener],
            attached_listener_sets: None,
            addresses: None,
        }
    }

    /// Reasons of the Gateway's and the listener's condition, and the Gateway's message.
    fn completed(
        mut status: GatewayStatus,
        programmed: Result<Option<String>, Unprogrammed>,
        faults: Vec<Fault>,
    ) -> [String; 3] {
        let address = StatusAddress { kind: AddressType::IPAddress, value: "10.0.0.1".into() };
        let addresses = Addresses { usable: vec![address.clone()], faults };
        complete(&mut status, &Judgement { publish: true, programmed }, addresses);
        assert_eq!(status.addresses, Some(vec![address]));
        let (gateway, listener) = (&status.conditions[0], &status.listeners[0].conditions[0]);
        [gateway.reason.clone(), listener.reason.clone(), gateway.message.clone()]
    }

    #[test]
    fn a_sound_gateway_is_programmed_when_its_data_plane_is() {
        use ConditionStatus::{False, True};
        let pending = || Err(Unprogrammed { reason: "Pending", message: "No pod.".into() });
        let fault = || vec![Fault::new("status.addresses", "AddressNotAssigned", "None yet.")];
        assert_eq!(completed(status(True, True), Ok(None), vec![]), ["Said", "Said", "Said."]);
        let remark = Ok(Some("But slowly.".to_owned()));
        assert_eq!(completed(status(True, True), remark, vec![]), ["Said", "Said", "Said. But slowly."]);
        assert_eq!(completed(status(True, True), pending(), vec![]), ["Pending", "Pending", "No pod."]);
        assert_eq!(completed(status(True, False), pending(), vec![]), ["Pending", "Said", "No pod."]);
        let expected = ["AddressNotAssigned", "Said", "status.addresses: None yet."];
        assert_eq!(completed(status(True, True), Ok(None), fault()), expected);
        // Its own faults go first.
        assert_eq!(completed(status(False, False), pending(), fault()), ["Said", "Said", "Said."]);
    }
}
