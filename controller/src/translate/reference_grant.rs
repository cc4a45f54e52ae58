//! ReferenceGrants: whether an object may refer to one in another namespace.

use std::collections::BTreeMap;

use crate::api::{GROUP, ReferenceGrant};
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;

/// Every grant, by the namespace it opens.
pub(crate) struct Grants<'a>(BTreeMap<&'a str, Vec<&'a ReferenceGrant>>);

/// Who refers: a kind of the Gateway API in a namespace.
#[derive(Clone, Copy)]
pub(crate) struct From<'a> {
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
}

impl<'a> Grants<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let mut grants: BTreeMap<&str, Vec<&ReferenceGrant>> = BTreeMap::new();
        for (key, grant) in &snapshot.reference_grants {
            grants.entry(&key.namespace).or_default().push(grant);
        }
        Self(grants)
    }

    /// Whether `from` may refer to the core object `to` of kind `to_kind`. Within a namespace it always may; across
    /// namespaces a grant in the target's namespace must name the referrer's group, kind and namespace, and the
    /// target's group, kind and, where it has one, name (`ReferenceGrantSpec`).
    pub(crate) fn permit(&self, from: From<'_>, to_kind: &str, to: &ObjectKey) -> bool {
        from.namespace == to.namespace
            || self.0.get(to.namespace.as_str()).into_iter().flatten().any(|grant| {
                let from_is_named = grant
                    .spec
                    .from
                    .iter()
                    .any(|f| f.group == GROUP && f.kind == from.kind && f.namespace == from.namespace);
                let to_is_named = grant.spec.to.iter().any(|t| {
                    // The core group is the empty one; no object of another group is a Service or Secret.
                    t.group.is_empty()
                        && t.kind == to_kind
                        && t.name.as_ref().is_none_or(|name| *name == to.name)
                });
                from_is_named && to_is_named
            })
    }
}
