# `make` alone prints this help. The commands live in bin/, so that CI runs the same ones.
.DEFAULT_GOAL := help
LECTERN := .venv/bin/lectern
.PHONY: help up down status logs seed reset observe observe-test disaster pooler-test kafka-ha pg-ha upgrade-test images compose-test compose-profiles deploy-check k8s-test k8s-real test check mutants security fuzz client console screenshots analysts lake-spark bench fmt lock clean

##@ The suite
up: ## Set up, start and wait for everything; prints URLs and logins
	@bin/setup
	@$(LECTERN) up

down: ## Stop everything; data stays
	@bin/setup
	@$(LECTERN) down

status: ## Show processes, ports, restarts
	@$(LECTERN) status

logs: ## Follow the logs (S=learning narrows)
	@$(LECTERN) logs $(S) -f

seed: ## Make the demo data where it is missing (SIZE=medium makes sixty learners, large 400)
	@$(LECTERN) seed --size $(or $(SIZE),small)

reset: ## Stop everything and delete all data
	@$(LECTERN) reset

##@ Operate
observe: ## Start Prometheus and Alertmanager beside the running suite (STOP=1 stops them)
	@$(LECTERN) observe $(if $(STOP),--stop)

observe-test: ## Rules, routes, dashboards and a trace against a real Prometheus, Alertmanager and suite
	@bin/setup
	@.venv/bin/python -m tests.observability

disaster: ## Lose a schema, Kafka, files, Valkey, everything on a real suite, and make it good by the runbooks
	@bin/setup
	@.venv/bin/python -m tests.resilience disaster

pooler-test: ## The suite through PgBouncer in transaction mode; what needs a session is refused there
	@bin/setup
	@.venv/bin/python -m tests.resilience pooler

kafka-ha: ## Kill each of three brokers, and two at once, under writes
	@bin/setup
	@.venv/bin/python -m tests.resilience kafka

pg-ha: ## Kill a primary under writes; its replica takes over
	@bin/setup
	@.venv/bin/python -m tests.resilience postgres

upgrade-test: ## To the next release and back under load, without a 5xx
	@bin/setup
	@.venv/bin/python -m tests.resilience upgrade

images: ## Build the image of every service and try each, read-only, in 512 MB, on a real engine
	@bin/setup
	@.venv/bin/python -m tests.containers images

compose-test: ## Start docker-compose.yml on a real engine, kill every container, and see that nothing is lost
	@bin/setup
	@.venv/bin/python -m tests.containers compose

compose-profiles: ## The profiles demo, ha, observability and bi on a real engine, each broker killed
	@bin/setup
	@.venv/bin/python -m tests.containers profiles

deploy-check: ## Hold everything under deploy/ against its rules, without a cluster; seconds
	@bin/setup
	@.venv/bin/python -m tests.kubernetes check

k8s-test: ## Apply, roll and drain on a real control plane with fake nodes (builds it once with Go)
	@bin/setup
	@.venv/bin/python -m tests.kubernetes cluster

k8s-real: ## Run the images as real pods: story, roll-out under load, drain, kills (root; TAG=dev MINUTES=5)
	@bin/setup
	@.venv/bin/python -m tests.kubernetes real --tag $(or $(TAG),dev) --minutes $(or $(MINUTES),5)

##@ Work on it
test: ## Run the tests (T=services/learning narrows)
	@bin/test $(T)

check: ## Run every gate: style, types, imports, migrations, documents
	@bin/check

fuzz: ## Send what a fuzzer makes of the OpenAPI document to a real suite; five minutes
	@bin/setup
	@.venv/bin/python -m tests.fuzz

mutants: ## Change rules and bus in small ways, and see that tests notice; 20 minutes
	@bin/setup
	@.venv/bin/python -m tests.mutants $(T)

security: ## Run the tests of the promises about security and write docs/security.md
	@bin/setup
	@.venv/bin/python -m tests.security.rows

client: ## Compile a generated TypeScript client and run the code of docs/front-end.md (needs npm)
	@bin/setup
	@.venv/bin/python -m tests.client

console: ## Every page of the console in a real browser, as every role (needs Chromium)
	@bin/setup
	@.venv/bin/python -m tests.console

screenshots: ## The same, and the pictures of README and docs
	@bin/setup
	@.venv/bin/python -m tests.console --pictures

analysts: ## Carry out docs/analysts.md: logins, SQL, DuckDB, Superset from its package, every number compared
	@bin/setup
	@.venv/bin/python -m tests.analysts

lake-spark: ## Run the dictionary's measures with PySpark over the lake, and compare each with PostgreSQL's
	@bin/setup
	@.venv/bin/python -m tests.analysts.spark

bench: ## Measure; prints ratios and writes docs/bench.md
	@bin/setup
	@.venv/bin/python -m tests.bench

fmt: ## Format, and mend what ruff can mend
	@bin/setup
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

lock: ## Compile requirements.lock from pyproject.toml
	@bin/lock

clean: ## Delete caches (not .venv, not data)
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

##@ Help
help: ## Print this
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*##/ {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
