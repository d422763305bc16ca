//! Triggers: what they answer, beside recorded cases, measured defects of others, and brute force.

mod vectors;
