//! Delivery receipts as text.
