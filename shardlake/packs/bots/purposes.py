"""What a bot is there for, by the words that it uses for itself, where no list says it."""

from typing import Final

_AI: Final = (
    r"gpt|openai|anthropic|claude|perplexity|mistral|deepseek|\bcohere|gemini|copilot|llama|\bllms?\b|\bgrok\b|\bgroq"
    r"|\bxai\b"
    r"|qwen|kimi-|\bkimi|character[.-]ai|hugging ?face|langchain|firecrawl|crawl4ai|\bai[- ]?(?:bot|agent|search"
    r"|crawler|data|train\w*|research|assistant)|\b[\w-]*-ai\b|\w\.ai\b"
)
_SEARCH: Final = (
    r"googlebot|\bgoogle-|\bgoogle|bing(?:bot|preview|ads)|yandex|baidu|naver|yahoo|duckduck|sogou|bravebot|search"
    r"|\bindexer"
    r"|suche|recherche|buscador"
)
_PREVIEW: Final = (
    r"facebook|twitter|linkedin|pinterest|\bslack|discord|telegram|whatsapp|mastodon|fediverse"
    r"|preview|unfurl|\bembed|link ?expander"
)
_ADVERTISING: Final = r"\bads?[._-]?(?:bot|txt|s|verif\w*|review)|adstxt|adsense|advert|\badx\b|\bbrand ?safety"
_MONITOR: Final = (
    r"monitor|uptime|health|\bping(?:er|dom)?\b|probe|synthetic|page ?speed|lighthouse|observ(?:atory|ability)"
    r"|diagnostic|status|benchmark"
    r"|httpmon|\bnagios|zabbix|munin|grafana|prometheus|site ?check|performance|load ?test|availability"
)
_FEED: Final = r"feed|\brss|\batom\b|podcast|newsreader|aggregator|syndication|subscribers?\b|pingback"
_ARCHIVE: Final = r"archiv|heritrix|wayback|preserv|\bwarc\b|httrack|website ?copier"
_RESEARCH: Final = r"research|universit|academi|thesis|\bstud(?:y|ies)\b|\.edu\b|\.ac\.[a-z]{2}\b|survey|census"
_SEO: Final = r"\bseo|seo(?:bot|\b)|backlink|\brank|sitemap|keyword|link-?(?:check|graph)|marketing|brand|competit"
_SCANNER: Final = (
    r"scan|secur|vuln|exploit|pentest|\bcve\b|malware|phish|threat|abuse|\bcert\b|shodan|censys|expanse|leakix"
    r"|probing|audit"
    r"|fingerprint|recon\b|(?:proxy|cms|port|ssl|tls|wp|domain)[ _-]?(?:check|detect|scan|lookup|probe)|bug ?bounty"
    r"|\bcyber|honeypot"
)
_AUTOMATION: Final = r"screenshot|thumbnail|snapshot|render|headless|automat|\bscript\b|webhook|callback"

# The first that matches counts: what stands first says more.
WORDS: Final = (
    ("ai", f"(?i){_AI}"),
    ("scanner", f"(?i){_SCANNER}"),
    ("monitor", f"(?i){_MONITOR}"),
    ("feed", f"(?i){_FEED}"),
    ("preview", f"(?i){_PREVIEW}"),
    ("advertising", f"(?i){_ADVERTISING}"),
    ("archive", f"(?i){_ARCHIVE}"),
    ("seo", f"(?i){_SEO}"),
    ("search", f"(?i){_SEARCH}"),
    ("research", f"(?i){_RESEARCH}"),
    ("automation", f"(?i){_AUTOMATION}"),
)
