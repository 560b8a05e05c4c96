"""Features: declared once, the same in training, in the batch tables, in the stream and in the online row.

A reader starts at ``declare`` (what a feature is), then ``views`` (all of them), then ``kernel`` and ``ordered`` (how
values are made) and ``evaluate`` (facts and questions to values). The three uses are thin: ``training`` (values as of
just before each event), ``batch`` (values of all entities at one time), ``stream`` (values from a state that takes
events in any order). ``facts`` is the one way from tables to facts, ``context`` what an event says of itself.

The law of all of them: an event counts from the moment it was **known**, max(received_at, occurred_at, end of the
play), and leaves a window of length W at occurred_at + W. The value at time t is made of the events with

    known < t   and   occurred_at >= t - W

and of nothing else, so an event never sees itself, its twins in time, or anything the service had not received yet.
Times are whole milliseconds.

Of an event that came in several versions (sent again, corrected, its skip told later), the one that was known last
before t counts; versions are matched by event id within an entity. silver keeps the newest version alone: where one
was replaced, a training value lacks the event for the time between the two, while the stream had the first version. It
is never the other way round.
"""
