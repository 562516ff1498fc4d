//! Events to applications: signed, in batches, retried until they are taken or a day has passed.
