"""English country names to ISO 3166-1 alpha-2 codes."""

from __future__ import annotations

_NAMES = {
    "AE": "United Arab Emirates", "AL": "Albania", "AM": "Armenia", "AO": "Angola", "AQ": "Antarctica",
    "AR": "Argentina", "AT": "Austria", "AU": "Australia", "AZ": "Azerbaijan", "BA": "Bosnia and Herzegovina",
    "BD": "Bangladesh", "BE": "Belgium", "BG": "Bulgaria", "BH": "Bahrain", "BO": "Bolivia", "BR": "Brazil",
    "BY": "Belarus", "CA": "Canada", "CD": "Congo, the Democratic Republic of the", "CH": "Switzerland",
    "CI": "Cote D'Ivoire", "CL": "Chile", "CM": "Cameroon", "CN": "China", "CO": "Colombia", "CR": "Costa Rica",
    "CU": "Cuba", "CY": "Cyprus", "CZ": "Czech Republic", "DE": "Germany", "DK": "Denmark",
    "DO": "Dominican Republic", "DZ": "Algeria", "EC": "Ecuador", "EE": "Estonia", "EG": "Egypt", "ES": "Spain",
    "ET": "Ethiopia", "FI": "Finland", "FO": "Faroe Islands", "FR": "France", "GB": "United Kingdom",
    "GE": "Georgia", "GH": "Ghana", "GR": "Greece", "GT": "Guatemala", "HK": "Hong Kong", "HN": "Honduras",
    "HR": "Croatia", "HU": "Hungary", "ID": "Indonesia", "IE": "Ireland", "IL": "Israel", "IN": "India",
    "IO": "British Indian Ocean Territory", "IQ": "Iraq", "IR": "Iran", "IS": "Iceland", "IT": "Italy",
    "JM": "Jamaica", "JO": "Jordan", "JP": "Japan", "KE": "Kenya", "KH": "Cambodia",
    "KP": "Korea, Democratic People's Republic of", "KR": "Korea, Republic of", "KW": "Kuwait",
    "KZ": "Kazakhstan", "LB": "Lebanon", "LK": "Sri Lanka", "LT": "Lithuania", "LU": "Luxembourg", "LV": "Latvia",
    "MA": "Morocco", "MD": "Moldova", "ME": "Montenegro", "MK": "Macedonia", "MP": "Northern Mariana Islands",
    "MT": "Malta", "MX": "Mexico", "MY": "Malaysia", "NG": "Nigeria", "NI": "Nicaragua", "NL": "Netherlands",
    "NO": "Norway", "NP": "Nepal", "NZ": "New Zealand", "OM": "Oman", "PA": "Panama", "PE": "Peru",
    "PH": "Philippines", "PK": "Pakistan", "PL": "Poland", "PR": "Puerto Rico", "PT": "Portugal",
    "PY": "Paraguay", "QA": "Qatar", "RO": "Romania", "RS": "Serbia", "RU": "Russian Federation",
    "SA": "Saudi Arabia", "SE": "Sweden", "SG": "Singapore", "SI": "Slovenia", "SK": "Slovakia", "SN": "Senegal",
    "SV": "El Salvador", "SY": "Syria", "TH": "Thailand", "TN": "Tunisia", "TR": "Turkey",
    "TT": "Trinidad and Tobago", "TW": "Taiwan", "TZ": "Tanzania", "UA": "Ukraine", "UG": "Uganda",
    "UM": "United States Minor Outlying Islands", "US": "United States", "UY": "Uruguay", "UZ": "Uzbekistan",
    "VE": "Venezuela", "VN": "Vietnam", "ZA": "South Africa", "ZM": "Zambia", "ZW": "Zimbabwe",
}  # fmt: skip
_OTHER_NAMES = {
    "Czechia": "CZ", "Great Britain": "GB", "Hong Kong SAR": "HK", "Ivory Coast": "CI", "Korea": "KR",
    "North Korea": "KP", "North Macedonia": "MK", "Russia": "RU", "South Korea": "KR",
    "Taiwan, Province of China": "TW",
    "The Netherlands": "NL", "Türkiye": "TR", "UK": "GB", "USA": "US", "United States of America": "US",
    "Viet Nam": "VN", "Iran, Islamic Republic of": "IR", "Syrian Arab Republic": "SY",
}  # fmt: skip
_CODE = {name.casefold(): code for code, name in _NAMES.items()} | {
    name.casefold(): code for name, code in _OTHER_NAMES.items()
}


def country_code(name: str) -> str | None:
    """The code of an English country name; None for a name that is not in the list (never a guess)."""
    return _CODE.get(name.strip().casefold())
