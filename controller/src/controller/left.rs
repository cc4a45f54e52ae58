//! Which Gateways went over to another controller: their class names it, and there are objects that were made for them
//! here. A class that does not exist says nothing: what is there goes on serving.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::CONTROLLER_NAME;
use crate::cluster::View;
use crate::cluster::apply::Owner;
use crate::object::ObjectKey;

/// These Gateways, as the owners of what is to go.
pub(super) fn left(view: &View) -> BTreeMap<ObjectKey, Owner> {
    let classes = &view.snapshot.gateway_classes;
    let others = view.snapshot.gateways.iter().filter(|(_, gateway)| {
        let class = classes.get(&gateway.spec.gateway_class_name);
        class.is_some_and(|class| class.spec.controller_name != CONTROLLER_NAME)
    });
    let mut others: BTreeMap<ObjectKey, Owner> = others
        .filter_map(|(key, gateway)| {
            let uid = gateway.metadata.uid.clone()?;
            Some((key.clone(), Owner { gateway: key.clone(), uid }))
        })
        .collect();
    if !others.is_empty() {
        let owners: BTreeSet<&String> = view.own.values().filter_map(|own| own.owner.as_ref()).collect();
        others.retain(|_, owner| owners.contains(&owner.uid));
    }
    others
}
