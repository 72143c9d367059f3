-- Every key begins with the workspace. Ids are UUIDs of 16 bytes, times Unix microseconds. `doc` is the entity; the other
-- columns repeat what queries need. `number` counts up in the workspace, for dialects that show integers.

CREATE TABLE workspaces (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL CHECK (id = workspace_id),
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
) STRICT;

CREATE TABLE sequences (
    workspace_id BLOB NOT NULL,
    name TEXT NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
) STRICT;

CREATE TABLE agents (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
) STRICT;

CREATE TABLE clips (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
) STRICT;

CREATE TABLE trunks (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
) STRICT;

CREATE TABLE campaigns (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
) STRICT;
CREATE INDEX campaigns_open ON campaigns (created_at, workspace_id, id) WHERE is_open = 1;

CREATE TABLE records (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    campaign_id BLOB NOT NULL,
    phone TEXT NOT NULL,
    status TEXT NOT NULL,
    due_at INTEGER,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
) STRICT;
CREATE INDEX records_due ON records (workspace_id, campaign_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX records_listed ON records (workspace_id, campaign_id, created_at DESC, id);
CREATE INDEX records_by_status ON records (workspace_id, campaign_id, status, created_at DESC, id);
CREATE INDEX records_by_phone ON records (workspace_id, campaign_id, phone);

-- Kept by the writer, so that counting 100,000 records reads eight rows. (Triggers would do it too, but make every insert
-- open a statement journal, whose cost grows with what the transaction has changed.)
CREATE TABLE record_counts (
    workspace_id BLOB NOT NULL,
    campaign_id BLOB NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, campaign_id, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    campaign_id BLOB,
    record_id BLOB,
    attempt INTEGER,
    agent_id BLOB NOT NULL,
    trunk_id BLOB,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number),
    UNIQUE (workspace_id, record_id, attempt)
) STRICT;
CREATE INDEX calls_listed ON calls (workspace_id, created_at DESC, id);
CREATE INDEX calls_by_campaign ON calls (workspace_id, campaign_id, created_at DESC, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX calls_by_agent ON calls (workspace_id, agent_id, created_at DESC, id);
CREATE INDEX calls_open ON calls (created_at, workspace_id, id) WHERE state <> 'closed';
CREATE INDEX calls_live ON calls (workspace_id, id, campaign_id, trunk_id)
    WHERE state IN ('dialing', 'ringing', 'in_call', 'hanging_up');
CREATE INDEX calls_queued ON calls (created_at, workspace_id, id) WHERE state = 'queued';

CREATE TABLE do_not_call (
    workspace_id BLOB NOT NULL,
    phone TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, phone)
) STRICT;

CREATE TABLE counters (
    workspace_id BLOB NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, number)
) STRICT;

CREATE TABLE deliveries (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    version INTEGER NOT NULL,
    endpoint_id BLOB NOT NULL,
    call_id BLOB NOT NULL,
    state TEXT NOT NULL,
    due_at INTEGER,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (due_at, workspace_id, id) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_listed ON deliveries (workspace_id, created_at DESC, id);
CREATE INDEX deliveries_by_state ON deliveries (workspace_id, state, created_at DESC, id);
CREATE INDEX deliveries_by_endpoint ON deliveries (workspace_id, endpoint_id, created_at DESC, id);
CREATE INDEX deliveries_by_call ON deliveries (workspace_id, call_id, created_at DESC, id);

CREATE TABLE delivery_attempts (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id, number)
) STRICT;
