//! The workflow file: parse, diagnose, validate, render expressions.
