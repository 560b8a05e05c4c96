"""Scripts that run inside the Redis server: rows are compared and written there in one step.

The comparisons are those of ``rules`` as the embedded store has them; one suite of tests holds both to them.
"""

from __future__ import annotations

# KEYS: state of the view, set of views. ARGV: how, space, view, schema, version, info of a first version, key, row, …
# Answers rows written and rows kept, or -1 when the schema or the version is no longer the one asked for.
MERGE = """
local how, space, view, schema, version = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local state = KEYS[1]

local function as_of(row) return struct.unpack('<i8', row, 17) end
local function expires(row) return string.sub(row, 25, 32) end
local never = string.rep('\\0', 8)

local function streamed_later(old, new)
  return string.byte(old, 5) % 2 == 1 and as_of(old) > as_of(new)
end

local function wanted(new, old)
  if not old then return true end
  if how ~= 'update' then return as_of(new) >= as_of(old) end
  if streamed_later(old, new) then return false end
  local lasting = (expires(new) == never and expires(old) == never) or as_of(old) == as_of(new)
  return not (lasting and string.sub(new, 9, 16) == string.sub(old, 9, 16)
              and string.sub(new, 33) == string.sub(old, 33))
end

local function write(target, counter, served)
  local rows = space .. ':' .. view .. ':' .. target
  local changed, kept, grown = 0, 0, 0
  for i = 7, #ARGV, 2 do
    local key, new = ARGV[i], ARGV[i + 1]
    if served then
      local fresh = redis.call('HGET', served, key)
      if fresh and streamed_later(fresh, new) then new = fresh end
    end
    local old = redis.call('HGET', rows, key)
    if wanted(new, old) then
      redis.call('HSET', rows, key, new)
      changed = changed + 1
      grown = grown + #new + (old and -#old or #key)
    else
      kept = kept + 1
    end
  end
  if grown ~= 0 then redis.call('HINCRBY', state, counter, grown) end
  return {changed, kept}
end

local found = redis.call('HMGET', state, 'version', 'schema', 'loading', 'loading_schema')
local served = found[1] and found[2] == schema

if how == 'load' then
  if found[3] ~= version then return {-1, 0} end
  local before = served and space .. ':' .. view .. ':' .. found[1] or nil
  return write(version, 'loading_bytes', before)
end
if how == 'update' then
  if not served or found[1] ~= version then return {-1, 0} end
  return write(version, 'bytes')
end

local loading = found[3] and found[4] == schema
if not found[1] and not found[3] then
  local first = redis.call('HINCRBY', state, 'last', 1)
  redis.call('HSET', state, 'version', first, 'schema', schema, 'bytes', 0, 'info', ARGV[6])
  redis.call('SADD', KEYS[2], view)
  return write(first, 'bytes')
end
local answer = {-1, 0}
if loading then answer = write(found[3], 'loading_bytes') end
if served then answer = write(found[1], 'bytes') end
return answer
"""

# KEYS: state of the view. ARGV: space, view, version (only if it is served; empty: whatever is), moment (rows that the
# stream wrote later stay; empty: none does), key, …   Answers how many served rows were removed.
REMOVE = """
local space, view, only, moment = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local removed = 0
local found = redis.call('HMGET', KEYS[1], 'loading', 'version')
if only ~= '' then
  if found[2] ~= only then return 0 end
  found[1] = false
end
for which, version in pairs({loading_bytes = found[1], bytes = found[2]}) do
  if version then
    local rows = space .. ':' .. view .. ':' .. version
    for i = 5, #ARGV do
      local old = redis.call('HGET', rows, ARGV[i])
      local later = old and moment and string.byte(old, 5) % 2 == 1 and struct.unpack('<i8', old, 17) > moment
      if old and not later then
        redis.call('HDEL', rows, ARGV[i])
        redis.call('HINCRBY', KEYS[1], which, -(#ARGV[i] + #old))
        if which == 'bytes' then removed = removed + 1 end
      end
    end
  end
end
return removed
"""

# KEYS: state of the view. ARGV: version, info. Records what the rows were made from unless another version is served.
RECORD = """
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'info', ARGV[2])
return 1
"""
