"""Every feature view of the platform: listeners, listeners with something, tracks, ads."""

from __future__ import annotations

from datetime import timedelta

from lakehouse.acoustic import ACOUSTIC
from lakehouse.features import formulas as f
from lakehouse.features.declare import DAY, HOUR, Feature, FeatureView

WEEK, MONTH = 7 * DAY, 30 * DAY
HALF_LIFE = WEEK
MEMORY = 60 * DAY
"""What decays is forgotten after this long, at 2^(-60/7) = 0.3 % of its weight: the state of a stream stays finite."""

PLAYS, ACTS, ADS = "silver.listens", "bronze.events", "silver.ads"
_ACOUSTIC = tuple(f"acoustic_{name}" for name in ACOUSTIC)
_DAILY, _HOURLY = timedelta(days=3), timedelta(days=1)


def _plays(measure: str = "plays", what: str = "plays") -> tuple[Feature, ...]:
    """Counts over 1, 7 and 30 days, and decayed."""
    return (
        *(f.count(f"{what}_{d}d", f"{what}, last {d} d", measure, d * DAY) for d in (1, 7, 30)),
        f.decayed(f"{what}_decayed", f"{what}, each halved in weight every 7 d", measure, HALF_LIFE, MEMORY),
    )


def _behaviour() -> tuple[Feature, ...]:
    """How plays end and what is played, over 30 days."""
    return (
        f.rate("skip_rate_30d", "plays skipped / plays that say so", "skips", "skips_known", MONTH),
        f.mean("completion_30d", "mean share of a track heard", "completion", "completion_known", MONTH),
        f.per_event("like_rate_30d", "likes for each play", "likes", "plays", MONTH),
        f.repeat_rate("repeat_rate_30d", "plays of a track heard before in the 30 d / plays", MONTH),
        f.discovery_rate("discovery_rate_7d", "tracks of the last 7 d not heard in 23 d before", WEEK, MONTH),
    )


def _taste() -> tuple[Feature, ...]:
    """Acoustic centroids, each axis scaled to 0 … 1 by its declared range."""
    axes = ", ".join(ACOUSTIC)
    return (
        *(
            f.centroid(f"acoustic_{d}d", f"mean of ({axes}) of plays, last {d} d", _ACOUSTIC, "acoustic_known", d * DAY)
            for d in (1, 7, 30)
        ),
        f.centroid(
            "acoustic_decayed",
            f"mean of ({axes}), plays halved every 7 d",
            _ACOUSTIC,
            "acoustic_known",
            MEMORY,
            HALF_LIFE,
        ),
    )


USER_PROFILE = FeatureView(
    "user_profile",
    "One row per listener: how much, how and what they hear.",
    ("user_key",),
    (
        *_plays(),
        *_behaviour(),
        f.rate("skip_rate_decayed", "skip rate, plays halved every 7 d", "skips", "skips_known", MEMORY, HALF_LIFE),
        f.count("likes_30d", "likes, last 30 d", "likes", MONTH),
        f.count("playlist_adds_30d", "additions to playlists, last 30 d", "playlist_adds", MONTH),
        f.distinct("artists_30d", "different artists, last 30 d", "plays", MONTH, "artist_id"),
        f.distinct("genres_30d", "different genres, last 30 d", "plays", MONTH, "genre"),
        *_taste(),
        f.top_ids("top_genres_30d", "genres played most, last 30 d", "plays", MONTH, "genre", 5),
        f.top_ids("top_artists_30d", "artists played most, last 30 d", "plays", MONTH, "artist_id", 10),
        f.is_new("is_new_user", "1: no play is older than 7 d, looking back 60 d", "plays", WEEK, MEMORY),
    ),
    (PLAYS, ACTS),
    _DAILY,
)
USER_SESSION = FeatureView(
    "user_session",
    "One row per listener: the session that is open, and what was just heard.",
    ("user_key",),
    (
        f.session("session_plays", "plays so far: the place of the next one in the session", "events"),
        f.session("session_skips", "skips so far", "skips"),
        f.session("session_seconds", "seconds since the session began", "ms"),
        f.since("seconds_since_play", "seconds since the last play began", "plays", WEEK),
        f.count("plays_1h", "plays, last hour", "plays", HOUR),
        f.count("skips_1h", "skips, last hour", "skips", HOUR),
        f.last_ids("last_tracks", "tracks heard last, newest first", "plays", MONTH, "track_id", 50),
    ),
    (PLAYS,),
    _HOURLY,
)


def _with(name: str, key: str, what: str) -> FeatureView:
    """How a listener behaves at one value of ``key``."""
    text = f"One row per listener and {what}: how they listen there."
    return FeatureView(name, text, ("user_key", key), (*_plays(), *_behaviour()), (PLAYS, ACTS), _DAILY)


USER_HOUR_OF_WEEK = _with("user_hour_of_week", "hour_of_week", "hour of their week (0: Monday 0-1 h)")
USER_ACTIVITY = _with("user_activity", "activity", "activity")
USER_DEVICE = _with("user_device", "device_type", "device")
USER_GENRE = FeatureView(
    "user_genre",
    "One row per listener and genre: taste.",
    ("user_key", "genre"),
    (
        *_plays(),
        f.rate("skip_rate_30d", "plays skipped / plays that say so", "skips", "skips_known", MONTH),
        f.count("likes_30d", "likes, last 30 d", "likes", MONTH),
    ),
    (PLAYS, ACTS),
    _DAILY,
)
USER_ARTIST = FeatureView(
    "user_artist",
    "One row per listener and artist: affinity.",
    ("user_key", "artist_id"),
    (
        *_plays(),
        f.rate("skip_rate_30d", "plays skipped / plays that say so", "skips", "skips_known", MONTH),
        f.mean("completion_30d", "mean share of a track heard", "completion", "completion_known", MONTH),
        f.count("likes_30d", "likes, last 30 d", "likes", MONTH),
        f.distinct("tracks_30d", "different tracks, last 30 d", "plays", MONTH, "track_id"),
        f.since("seconds_since_play", "seconds since the last play of the artist began", "plays", MEMORY),
    ),
    (PLAYS, ACTS),
    _DAILY,
)


def _popularity() -> tuple[Feature, ...]:
    return (*_plays(), f.trend("trend", "plays a day, last day against last 7 d", "plays", DAY, WEEK))


TRACK_POPULARITY = FeatureView(
    "track_popularity",
    "One row per track: how much it is heard, and how it fares.",
    ("track_id",),
    (
        *_popularity(),
        f.distinct("listeners_7d", "different listeners, last 7 d", "plays", WEEK, "user_key"),
        f.rate("skip_rate_30d", "plays skipped / plays that say so", "skips", "skips_known", MONTH),
        f.mean("completion_30d", "mean share heard", "completion", "completion_known", MONTH),
        f.count("likes_30d", "likes, last 30 d", "likes", MONTH),
        f.count("playlist_adds_30d", "additions to playlists, last 30 d", "playlist_adds", MONTH),
        f.is_new("is_new_track", "1: no play is older than 7 d, looking back 60 d", "plays", WEEK, MEMORY),
    ),
    (PLAYS, ACTS),
    _DAILY,
)
TRACK_COUNTRY = FeatureView(
    "track_country",
    "One row per track and country: popularity and trend there.",
    ("track_id", "country"),
    _popularity(),
    (PLAYS,),
    _DAILY,
)
TRACK_HOUR = FeatureView(
    "track_hour",
    "One row per track and hour of the listener's day: popularity and trend then.",
    ("track_id", "local_hour"),
    _popularity(),
    (PLAYS,),
    _DAILY,
)


def _ads(days: int) -> tuple[Feature, ...]:
    window = days * DAY
    return (
        f.count(f"ads_{days}d", f"ads shown, last {days} d", "ad_impressions", window),
        f.rate(f"ad_skip_rate_{days}d", "ads skipped / ads shown", "ad_skips", "ad_impressions", window),
        f.rate(
            f"ad_completion_rate_{days}d", "ads heard to the end / ads shown", "ad_completes", "ad_impressions", window
        ),
        f.rate(f"ad_click_rate_{days}d", "ads clicked / ads shown", "ad_clicks", "ad_impressions", window),
    )


USER_ADS = FeatureView(
    "user_ads",
    "One row per listener: how many ads they got, and what they made of them.",
    ("user_key",),
    (
        f.count("ads_1h", "ads shown, last hour", "ad_impressions", HOUR),
        f.count("ads_1d", "ads shown, last day", "ad_impressions", DAY),
        f.count("ad_skips_1d", "ads skipped, last day", "ad_skips", DAY),
        *_ads(7),
        *_ads(30),
        f.decayed("ads_decayed", "ads shown, each halved in weight every 7 d", "ad_impressions", HALF_LIFE, MEMORY),
        f.since("seconds_since_ad", "seconds since the last ad began", "ad_impressions", WEEK),
    ),
    (ADS,),
    _HOURLY,
)
USER_AD_HOUR = FeatureView(
    "user_ad_hour",
    "One row per listener and hour of their day: ads shown, skipped and heard then.",
    ("user_key", "local_hour"),
    _ads(30),
    (ADS,),
    _DAILY,
)

VIEWS: tuple[FeatureView, ...] = (
    USER_PROFILE,
    USER_SESSION,
    USER_HOUR_OF_WEEK,
    USER_ACTIVITY,
    USER_DEVICE,
    USER_GENRE,
    USER_ARTIST,
    TRACK_POPULARITY,
    TRACK_COUNTRY,
    TRACK_HOUR,
    USER_ADS,
    USER_AD_HOUR,
)


def get_view(name: str) -> FeatureView:
    """The view of that name; raises KeyError that lists all of them."""
    for view in VIEWS:
        if view.name == name:
            return view
    raise KeyError(f"no feature view {name!r}; there are {', '.join(v.name for v in VIEWS)} (docs/features.md)")
