//! Configuration: read the files, check everything, make one [`plan::Plan`].

pub mod plan;
