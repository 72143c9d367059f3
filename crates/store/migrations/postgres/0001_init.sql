-- Every key begins with the workspace. Times are Unix microseconds. `doc` is the entity as JSON text (`jsonb` would sort the
-- keys of its variables); the other columns repeat what queries need. `number` counts up in the workspace, for dialects
-- that show integers. Texts that order anything compare by bytes, as in SQLite.

CREATE TABLE workspaces (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL CHECK (id = workspace_id),
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE TABLE sequences (
    workspace_id UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    next BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, name)
);

CREATE TABLE api_keys (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    hash TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE TABLE agents (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
);

CREATE TABLE clips (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
);

CREATE TABLE trunks (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
);

CREATE TABLE campaigns (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    is_open BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
);
CREATE INDEX campaigns_open ON campaigns (created_at, workspace_id, id) WHERE is_open = 1;

CREATE TABLE records (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    campaign_id UUID NOT NULL,
    phone TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    due_at BIGINT,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
);
CREATE INDEX records_due ON records (workspace_id, campaign_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX records_listed ON records (workspace_id, campaign_id, created_at DESC, id);
CREATE INDEX records_by_status ON records (workspace_id, campaign_id, status, created_at DESC, id);
CREATE INDEX records_by_phone ON records (workspace_id, campaign_id, phone);

CREATE TABLE calls (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    campaign_id UUID,
    record_id UUID,
    attempt BIGINT,
    agent_id UUID NOT NULL,
    trunk_id UUID,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number),
    UNIQUE (workspace_id, record_id, attempt)
);
CREATE INDEX calls_listed ON calls (workspace_id, created_at DESC, id);
CREATE INDEX calls_by_campaign ON calls (workspace_id, campaign_id, created_at DESC, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX calls_by_agent ON calls (workspace_id, agent_id, created_at DESC, id);
CREATE INDEX calls_open ON calls (created_at, workspace_id, id) WHERE state <> 'closed';
CREATE INDEX calls_live ON calls (workspace_id, id, campaign_id, trunk_id)
    WHERE state IN ('dialing', 'ringing', 'in_call', 'hanging_up');
CREATE INDEX calls_queued ON calls (created_at, workspace_id, id) WHERE state = 'queued';

CREATE TABLE do_not_call (
    workspace_id UUID NOT NULL,
    phone TEXT COLLATE "C" NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, phone)
);

CREATE TABLE counters (
    workspace_id UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, name)
);

CREATE TABLE endpoints (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
);

CREATE TABLE deliveries (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    endpoint_id UUID NOT NULL,
    call_id UUID NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    due_at BIGINT,
    created_at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX deliveries_due ON deliveries (due_at, workspace_id, id) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_listed ON deliveries (workspace_id, created_at DESC, id);
CREATE INDEX deliveries_by_state ON deliveries (workspace_id, state, created_at DESC, id);
CREATE INDEX deliveries_by_endpoint ON deliveries (workspace_id, endpoint_id, created_at DESC, id);
CREATE INDEX deliveries_by_call ON deliveries (workspace_id, call_id, created_at DESC, id);

CREATE TABLE delivery_attempts (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id, number)
);

-- Rows that change several times in their life: vacuum them early, so that counts come from the index alone.
ALTER TABLE records SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE calls SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE deliveries SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE counters SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
