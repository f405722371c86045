"""What tests of projects and of new implementations can use: fakes, conformance suites, a simulation, PostgreSQL."""
