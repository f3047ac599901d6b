"""What Redis does for the ledger: Lua, each script one atomic step.

All keys begin with one that has a hash tag, so that they live on one node of a cluster:

==================  =======  ==========================================================
key                 kind     what
==================  =======  ==========================================================
``BASE:spent``      hash     ``MEASURE ACCOUNT`` to what was settled; every row is here
``BASE:reserved``   hash     the same to what is set aside
``BASE:caps``       hash     the same to an operator's ``CAP UNTIL``
``BASE:rows:KIND``  zset     the rows of one kind, by when they were touched
``BASE:claims:WHO`` hash     claims under way of one owner, id to entries (MessagePack)
``BASE:owners``     zset     owners by the time at which their lease ends
``BASE:over``       hash     ids of claims that are over, to nothing, or to what was presumed
``BASE:order``      list     the same ids, newest first
==================  =======  ==========================================================

The clock of leases is the one of Redis, so that replicas need not agree on the time.
Lua's numbers are exact up to ``rules.MOST``; ``digits`` writes them without an exponent.
"""

import hashlib

from attrs import field, frozen

from apiproxy.ledger.rules import MOST, Bounds

_COMMON = """
local base, owner, now = KEYS[1], ARGV[1], tonumber(ARGV[2])
local SPENT, RESERVED, CAPS = base .. ':spent', base .. ':reserved', base .. ':caps'
local OVER, ORDER, OWNERS = base .. ':over', base .. ':order', base .. ':owners'
local CLAIMS = base .. ':claims:' .. owner

local function digits(number) return string.format('%.0f', number) end

local function sum(key, row) return tonumber(redis.call('HGET', key, row) or '0') end

local function kind(row) return string.match(row, '^%S+ ([^:]*)') end

local function shift(key, row, amount)
    if amount == 0 then return end
    local total = math.max(0, math.min(MOST, sum(key, row) + amount))
    redis.call('HSET', key, row, digits(total))
end

local function touch(row)
    if redis.call('ZADD', base .. ':rows:' .. kind(row), now, row) == 1 then
        redis.call('HSETNX', SPENT, row, '0')
    end
end

local function idle(row)
    return sum(RESERVED, row) == 0 and redis.call('HEXISTS', CAPS, row) == 0
end

-- The row on which something is counted: its own, or the one of all for which there is no
-- room. Of the rows that nobody has touched for long, only a few are looked at.
local function placed(measure, account)
    local row = measure .. ' ' .. account
    if redis.call('HEXISTS', SPENT, row) == 1 then return row end
    local rows = base .. ':rows:' .. kind(row)
    if redis.call('ZCARD', rows) < ROWS then return row end
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', rows, '-inf', '(' .. digits(now - KEEP),
                                    'LIMIT', 0, 32)) do
        if idle(old) then
            redis.call('ZREM', rows, old)
            redis.call('HDEL', SPENT, old)
            redis.call('HDEL', RESERVED, old)
            return row
        end
    end
    return measure .. ' ' .. kind(row) .. ':other'
end

-- The entries in ARGV from one on: four each, the last of them the cap or nothing.
local function wanted(from)
    local found = {}
    for i = from, #ARGV, 4 do
        found[#found + 1] = {placed(ARGV[i], ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3]}
    end
    return found
end

local function operators(row)
    local cap, untl = string.match(redis.call('HGET', CAPS, row) or '', '^(%d+) (.*)$')
    if cap and untl ~= '' and now >= tonumber(untl) then return nil, nil end
    return cap, untl
end

-- Which of the entries is short, as it is told to the caller; nil if none is.
local function short(entries, so_far)
    for i, entry in ipairs(entries) do
        local row = entry[1]
        local set, untl = operators(row)
        local cap = tonumber(set or entry[3])
        local spent, reserved = sum(SPENT, row), sum(RESERVED, row)
        if cap and so_far(spent + reserved, cap, entry) then
            return cmsgpack.pack({i, row, spent, reserved, cap, set or '', untl or ''})
        end
    end
end

local function set_aside(id, entries)
    local kept = {}
    local packed = redis.call('HGET', CLAIMS, id)
    if packed then kept = cmsgpack.unpack(packed) end
    for _, entry in ipairs(entries) do
        touch(entry[1])
        shift(RESERVED, entry[1], entry[2])
        kept[#kept + 1] = {entry[1], entry[2]}
    end
    redis.call('HSET', CLAIMS, id, cmsgpack.pack(kept))
end

local function over(id, presumed)
    redis.call('HSET', OVER, id, presumed)
    redis.call('LPUSH', ORDER, id)
    if redis.call('LLEN', ORDER) > MANY then
        redis.call('HDEL', OVER, redis.call('RPOP', ORDER))
    end
end

-- Take back what a claim has set aside, or what was presumed of it; false if it is settled.
local function given_back(id)
    local key, packed = RESERVED, redis.call('HGET', CLAIMS, id)
    if packed then
        redis.call('HDEL', CLAIMS, id)
    else
        key, packed = SPENT, redis.call('HGET', OVER, id)
        if packed == '' then return false end
        if packed then
            redis.call('HDEL', OVER, id)
            redis.call('LREM', ORDER, -1, id)
        end
    end
    if packed then
        for _, entry in ipairs(cmsgpack.unpack(packed)) do shift(key, entry[1], -entry[2]) end
    end
    return true
end

local function presume(who)
    local claims = redis.call('HGETALL', base .. ':claims:' .. who)
    for i = 1, #claims, 2 do
        for _, entry in ipairs(cmsgpack.unpack(claims[i + 1])) do
            touch(entry[1])
            shift(RESERVED, entry[1], -entry[2])
            shift(SPENT, entry[1], entry[2])
        end
        over(claims[i], claims[i + 1])
    end
    redis.call('DEL', base .. ':claims:' .. who)
    redis.call('ZREM', OWNERS, who)
    return #claims / 2
end
"""

_RESERVE = """
local entries = wanted(4)
local shortage = short(entries, function(total, cap) return total >= cap end)
if shortage then return shortage end
set_aside(ARGV[3], entries)
return 0
"""

# What was presumed of a claim is set aside again, for it is under way after all.
_EXTEND = """
local presumed = redis.call('HGET', OVER, ARGV[3])
if presumed and presumed ~= '' and redis.call('HEXISTS', CLAIMS, ARGV[3]) == 0 then
    local before = cmsgpack.unpack(presumed)
    given_back(ARGV[3])
    set_aside(ARGV[3], before)
end
local entries = wanted(4)
set_aside(ARGV[3], entries)
return short(entries, function(total, cap) return total > cap end) or 0
"""

_REACHES = """
local entries = wanted(3)
return short(entries, function(_, cap, entry)
    return sum(SPENT, entry[1]) + entry[2] > cap
end) or 0
"""

_SETTLE = """
if not given_back(ARGV[3]) then return 0 end
for _, entry in ipairs(wanted(4)) do
    touch(entry[1])
    shift(SPENT, entry[1], entry[2])
end
over(ARGV[3], '')
return 0
"""

_RELEASE = """
given_back(ARGV[3])
return 0
"""

_CLEAR = """
local row = ARGV[3] .. ' ' .. ARGV[4]
if redis.call('HEXISTS', SPENT, row) == 1 then redis.call('HSET', SPENT, row, '0') end
return 0
"""

_SET_CAP = """
local row = ARGV[3] .. ' ' .. ARGV[4]
touch(row)
if ARGV[5] == '' then
    redis.call('HDEL', CAPS, row)
else
    redis.call('HSET', CAPS, row, ARGV[5] .. ' ' .. ARGV[6])
end
return 0
"""

_STANDINGS = """
local found = {}
for _, row in ipairs(redis.call('HKEYS', SPENT)) do
    local cap, untl = operators(row)
    found[#found + 1] = {row, sum(SPENT, row), sum(RESERVED, row), cap or '', untl or ''}
end
return cmsgpack.pack(found)
"""

# Renew our lease, and presume what those have spent whose lease has ended.
_SWEEP = """
local time = redis.call('TIME')
local second = time[1] + time[2] / 1000000
redis.call('ZADD', OWNERS, second + tonumber(ARGV[3]), owner)
local claims = 0
for _, who in ipairs(redis.call('ZRANGEBYSCORE', OWNERS, '-inf', second)) do
    if who ~= owner then claims = claims + presume(who) end
end
return claims
"""

_LEAVE = """
return presume(owner)
"""


@frozen
class Script:
    """One step.

    Attributes:
        text: in Lua.
        sha: by which Redis knows it once it has seen it.
    """

    text: str
    sha: str = field(init=False)

    @sha.default
    def _hashed(self) -> str:
        # Redis names its scripts so; nothing depends on its strength.
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@frozen
class Scripts:
    """All steps, for the bounds of one ledger."""

    reserve: Script
    extend: Script
    reaches: Script
    settle: Script
    release: Script
    clear: Script
    set_cap: Script
    standings: Script
    sweep: Script
    leave: Script


def scripts(bounds: Bounds) -> Scripts:
    """The scripts that keep these bounds."""
    numbers = (
        f"local MOST, ROWS, KEEP, MANY ="
        f" {MOST}, {bounds.rows}, {bounds.keep}, {bounds.over}\n"
    )
    bodies = (
        _RESERVE,
        _EXTEND,
        _REACHES,
        _SETTLE,
        _RELEASE,
        _CLEAR,
        _SET_CAP,
        _STANDINGS,
        _SWEEP,
        _LEAVE,
    )
    return Scripts(*(Script(numbers + _COMMON + body) for body in bodies))
