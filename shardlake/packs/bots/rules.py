"""Rules of structure: what the payloads of attacks, tools and made-up browsers look like in a user agent.

All are in RE2's syntax. They find what no list of single bots names; which words of a text they found is the bot's name
where the rule has none of its own.
"""

from typing import Final

LOG4SHELL: Final = r"(?i)\$\{(?:jndi|lower|upper|env|::-)"
SHELLSHOCK: Final = r"\(\)\s*\{\s*:?;?\s*\}?\s*;"
SQL_INJECTION: Final = (
    r"(?i)\bunion(?:\s|\+|/\*.*?\*/)+(?:all\s+)?select\b|['\"]\s*(?:or|and)\s+['\"\d]+\s*=|\bsleep\(\s*\d"
    r"|waitfor\s+delay|pg_sleep\(|benchmark\(\d|extractvalue\(|information_schema|dbms_pipe|';\s*(?:drop|select)\b"
)
PATH_TRAVERSAL: Final = r"(?:\.\./){2}|(?:\.\.\\){2}|/etc/passwd|(?i:win\.ini)"
MARKUP: Final = r"(?i)<\s*(?:script|img|svg|iframe|\?php)\b|javascript:|<!--#exec"
COMMAND: Final = r"(?i)[;|&`]\s*(?:wget|curl|nslookup|ping|cat|bash)\s|\$\(\s*\w+"
TOOL: Final = (
    r"^(?:Dart|ReactorNetty|gitlab-runner|kube-probe|GoogleHC|ELB-HealthChecker|okhttp|axios|node-fetch|undici|got"
    r"|libwww-perl|lwp-[a-z]+|Java|Apache-HttpClient|Jakarta|PostmanRuntime|insomnia|HTTPie|aiohttp|httpx"
    r"|Python-urllib|python-requests|Ruby|PHP|Guzzle\w*|WinHttp\w*|Wget|curl|fasthttp|Go-http-client|RestSharp"
    r"|HTTP_Request2?|libfetch|fetch libfetch"
    r"|aws-sdk-\w+|aws-cli|Boto3|Botocore|Faraday|reqwest|hyper|ureq|Symfony|WordPress|Scrapy|Deno|Bun)(?:[ /.]|$)"
)
RENDERER: Final = r"wkhtmlto\w+|PhantomJS|HeadlessChrome|Puppeteer|Playwright|Selenium"
BOT_WORD: Final = (
    r"(?i)[\w.-]*(?:bot|crawler|spider|scraper|crawl|slurp|fetcher|indexer|validator|link-?check(?:er)?|scanner)"
    r"(?:[/ ;:),_\d-]|$)"
)
CONTACT: Final = (
    r"(?i)\+\s?https?://[^\s;)]+|\b[\w.+-]+(?:@|\[at\])[\w-]+\.[a-z]{2,}|^[a-ln-z][\w.-]*/[\w.]+ \(https?://"
)
FORGED: Final = (
    r"Macintosh: |App[^l]\w*WebKit|AppleWebKit[^/\s]|Windows NT(?: [3-9]\d|\d)|^Mozilla/(?:[6-9]|[1-9]\d)"
    r"|^(?i:user-?agent)\s*:|^Mozilla(?:/[45]\.0)?\s*$|^(?:Chrome|Firefox|Safari)$"
)
NO_FORM: Final = r"^[A-Za-z]{1,12}$|^['\"]|^\W*$"
