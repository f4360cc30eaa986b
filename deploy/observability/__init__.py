"""What watches the suite: rules, alerts, dashboards, and the page about metrics."""
