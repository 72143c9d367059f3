-- Large pushes that are being written: pieces of a push as they came, taken away by the commit that moves them to `records`.
-- The journal of a push is whole when its last piece (`pieces` - 1) is there.
CREATE TABLE large_pushes (
    push_id BLOB NOT NULL,
    piece INTEGER NOT NULL,
    pieces INTEGER NOT NULL,
    workspace_id BLOB NOT NULL,
    docs TEXT NOT NULL,
    PRIMARY KEY (push_id, piece)
) STRICT;
