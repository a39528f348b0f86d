"""The event-sourced core of a mission: events, record, decision, report, projections. Nothing here performs I/O."""
