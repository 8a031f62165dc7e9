"""Rules of structure: what tools, crawlers without a name in any list, and made-up browsers write into a user agent.

All are in RE2's syntax. They find what no list of single bots names; which words of a text they found is the bot's name
where the rule has none of its own.
"""

from typing import Final

# Programs and libraries that speak HTTP for other programs. Their names stand first.
_LIBRARIES: Final = (
    r"dart|reactornetty|gitlab-runner|okhttp|axios|node|node-\w+|undici|got|needle|superagent|request(?:\.js)?|deno",
    r"bun",
    r"libwww-perl|lwp-[a-z]+|lwp::\w+|perl\w*|java|java\d[\d._]*|java-http-client|apache-http\w*|jakarta|akka-http",
    r"scalaj-http|sttp|ktor\w*|spray-can|unirest\w*|python|python-\w+|urllib\d?|pycurl|aiohttp|httpx|ruby|rest-client",
    r"typhoeus|httparty|faraday|php|php-\w+|php\d[\d.]*|guzzle\w*|zend(?:[_ ]http\w*|_\w+)|symfony|wordpress",
    r"http_request2?|winhttp\w*",
    r"restsharp|refit|flurl|powershell|microsoft bits|microsoft-cryptoapi|indy|embarcadero|delphi|fasthttp",
    r"go-http-client",
    r"go \d[\d.]* package http|go-resty|resty\w*|quic-go\w*|req/|colly|libfetch|fetch libfetch|uclient-fetch|libsoup",
    r"neon",
    r"serf|cpp-httplib|cpprestsdk|boost\.beast|reqwest|hyper|ureq|isahc|attohttpc|lua-resty-http|elixir|hackney",
    r"erlang|haskell",
    r"wget2?|curl|libcurl\w*|aria2|axel|httpie|xh|postmanruntime|insomnia|bruno|hoppscotch|scrapy|mechanize|grequests",
    r"aws-sdk-\w+|aws-cli|boto3?|botocore|azsdk-\w+|azure-\w+|google-api-\w+|google-http-\w+|gcloud|s3cmd|minio",
    r"rclone|restic",
    r"git|git-\w+|jgit|svn|mercurial|apt|debian apt|apt-http|dnf|libdnf|yum|urlgrabber|zypp|pacman|homebrew|pip|uv",
    r"poetry|conda",
    r"npm|yarn|pnpm|maven|gradle|sbt|cargo|bundler|rubygems|composer|nuget|terraform|ansible|docker|containerd",
    r"containers",
    r"buildah|buildkit|podman|cri-o|skopeo|helm|kubectl|varnish|squid\w*|nginx\w*|envoy\w*|traefik|haproxy",
)
_PROBES: Final = (
    r"kube-probe|googlehc|elb-healthchecker|amazon-route53-health\w*|grafana|prometheus|telegraf|datadog\w*|zabbix",
    r"nagios\w*",
    r"check_http|munin|monit|sensu|icinga\w*|blackbox|consul|ab|apachebench|siege|wrk|hey|vegeta|k6|jmeter|locust",
    r"gatling",
    r"artillery|uptime-kuma|gatus|statping",
)
_SCANNERS: Final = (
    r"nmap\w*|masscan|zgrab|ffuf|gobuster|feroxbuster|dirbuster|nikto|nuclei|sqlmap|wfuzz|whatweb|subfinder|katana",
    r"w3af",
    r"arachni|burp\w*|zap|openvas|nessus|wpscan|acunetix|hydra|metasploit|zmeu|morfeus|jorgee",
)
_THEN: Final = "(?:[ /._;:(+]|$)"
LIBRARY: Final = f"^(?i:{'|'.join(_LIBRARIES)}){_THEN}"
PROBE: Final = f"^(?i:{'|'.join(_PROBES)}){_THEN}"
SCANNER: Final = f"^(?i:{'|'.join(_SCANNERS)}){_THEN}"
# Whole browsers that a program steers.
RENDERER: Final = (
    r"(?i)wkhtmlto\w+|phantomjs|headless_?(?:chrome|firefox|browser|shell|edg)|puppeteer|playwright|selenium"
    r"|\bwebdriver\b"
    r"|slimerjs|casperjs|\bjsdom|cypress/|nightmare|\bsplash\b|windowspowershell|webkit2png|cutycapt|htmlunit"
    r"|\bzombie\.js|chrome-lighthouse"
    r"|ghost inspector|weasyprint|prince/\d|testcafe|browsershot"
)
# What bots call themselves, wherever it stands in a word; it ends one, or a capital letter follows.
_BOTS: Final = "bots?|crawl(?:er|ing)?|spiders?|scrap(?:er|ing|y)|slurp|fetch(?:er|ing)?|indexer|harvest(?:er)?"
_END: Final = r"(?:[^A-Za-z]|[A-Z][a-z]|$)"
BOT_WORD: Final = f"(?i:{_BOTS}){_END}"
# What they do: words of their own, or with a capital letter within one. Apps are called so, too.
_DOING: Final = (
    *("archiver", "check(?:er)?", "validator", "validation", "verifier", "verification", "monitor(?:ing)?", "uptime"),
    *("pinger", "prober?", "diagnostics?", "observatory", "analy[sz]er", "auditor", "inspect(?:or|ion)", "detector"),
    *(
        "scanner",
        "scanning",
        "extractor",
        "collector",
        "lookup",
        "survey",
        "screenshots?",
        "thumbnails?",
        "unfurl(?:er)?",
    ),
    *("preview", "snippet", "imageproxy", "transcoder", "parser", "classifier", "benchmark", "prefetch", "page ?speed"),
    *("search console", "synthetics?", "research(?:er)?", "discovery"),
)
_CAPITAL: Final = "|".join(word.capitalize() for word in _DOING)
TASK_WORD: Final = f"(?:(?:^|[^A-Za-z])(?i:{'|'.join(_DOING)})|[a-z](?:{_CAPITAL})){_END}"
# The same with the letters around them.
NAME: Final = rf"[\w.-]*(?i:{_BOTS}|{'|'.join(_DOING)})(?:[\w.-]*|$)"
# Where to complain: a URL or an address in a user agent is for the operators of sites.
CONTACT: Final = (
    r"(?i)https?[:;]/?/|\+ ?www\.|\bwww\.[\w-]+\.[a-z]{2,}"
    r"|\b[\w.+-]+ ?(?:@|\[at\]|\(at\)| at ) ?[\w-]+(?:\.| dot |\[dot\])[a-z]{2,}"
)
# A browser has nothing but `like Gecko` there, and is `compatible` at the beginning only.
HIDDEN: Final = (
    r"like Gecko; ?\w|(?:[);]|(?:MMP/|CLDC-)[\d.]+) ?\(?compatible; ?(?:[^MS\s]|M[^S]|S[^u])"
    r"|\bGoogle(?:-[A-Z][a-z]\w+| [Ff]avicon)|\b\w+-Google\b"
)
# Operating systems, engines and versions that do not exist.
FORGED: Final = (
    r"Macintosh: |^Mozilla/5\.0 \((?:Windows|Macintosh|X11).*(?:App[^l]\w*WebKit|AppleWebKit[^/\s])"
    r"|Windows NT(?: [3-9]\d|\d)"
    r"|^Mozilla/(?:[6-9]|[1-9]\d)\.\d \((?:Windows|X11|Macintosh; Intel)|^(?i:user-?agent)\s*[:=]"
    r"|^Mozilla(?:/[45]\.0)?\s*$"
    # A system without an engine: nothing follows, or a product alone that is no engine's.
    r"|^Mozilla/5\.0 \((?:Windows NT|X11; (?:Linux|Ubuntu)|Macintosh; Intel)[^()]*\)"
    r"(?: (?:[BD-FHIJL-RU-Z]|C[^r]|A[^p]|G[^eo]|K[^H]|S[^e])[\w.-]*/[\w.-]+)?$"
    r"|^['\"]|^\W*$"
)
SOGOU: Final = r"(?i)sogou [\w ]*spider"
# Messengers ask for a preview under the bare name of the app; on a device they tell which.
MESSENGER: Final = r"^(?:WhatsApp|Viber|TelegramBot|Signal|Snapchat|SkypeUriPreview|LINE)(?:/[\w.]+)?(?: [AiNWO])?$"
# Monitors and scanners that steer or forge whole browsers, and which lists spell otherwise or lack.
MONITORS: Final = (
    r"(?i)gomez ?agent|dejaclick|catchpoint|ruxit|dynatrace|site24x7|new ?relic|speedcurve|webpagetest|browserstack"
)
OUT_OF_BAND: Final = r"(?i)burpcollaborator|\.oast(?:ify)?\.|interact\.sh|\bdnslog\b|\bcanarytokens?\b"
# Programs that copy whole sites for one person.
COPIER: Final = r"(?i)^(?:sitesucker|httrack|webzip|webcopier|teleport|offline explorer|blackwidow)|\bhttrack\b"
