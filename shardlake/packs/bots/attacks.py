"""What the payloads of attacks look like in a user agent: rules of structure in RE2's syntax.

A user agent is a favourite place for them, because programs write it into logs and databases unread. Each rule asks for
the syntax that makes the payload work, not for a word alone: phones are called Cat, and apps Select.
"""

from typing import Final

_SQL: Final = (
    r"\bunion(?:\s|\+|/\*.*?\*/|%20|\()+(?:all|distinct)?(?:\s|\+|/\*.*?\*/|%20)*select\b",
    r"\bselect\b[^;]+\bfrom\b(?:\s|\+|/\*)",
    r"['\"`)]\s*(?:or|and|xor|\|\|?|&&)\s*\(?['\"\s(]*[\w-]*['\"]*\s*(?:=|<|>|\blike\b|\bbetween\b|\brlike\b|\bis\b)",
    r"['\"]\s*(?:\|\||\+|xor)\s*\(?\s*(?:select|if|sleep|chr|char|cast|dbms_|utl_)",
    r"\b(?:and|or)\s+\d[\d+*-]*\s*=\s*\(?(?:\d|select|if|case)",
    r"\b(?:sleep|pg_sleep|benchmark|randomblob)\s*\(\s*[\d(]|\bwaitfor\s+delay\b|\bdbms_(?:pipe|lock|ldap)",
    r"\b(?:extractvalue|updatexml|load_file|xp_cmdshell|xp_dirtree|utl_inaddr|utl_http|sysdate)\s*[(.]|@@version",
    r"\binformation_schema\b|\binto\s+(?:out|dump)file\b|\bconcat(?:_ws)?\s*\(\s*(?:0x|char|@@|')",
    r"['\")]\s*;\s*(?:drop|select|insert|update|delete|declare|exec|shutdown|create)\b",
    r"\border\s+by\s+\d+\s*(?:--|#)|'\s*(?:--|#)\s*$|\bpg_(?:user|shadow)\b",
)
_TRAVERSAL: Final = (
    r"(?:\.\.[/\\]){2}|(?:\.{2,}//+){2}|(?:\.\.(?:%2f|%5c|%c0%af|%252f)|%2e%2e(?:/|%2f|%5c))",
    r"[/\\]etc[/\\](?:passwd|shadow|hosts|group|issue)\b|/proc/(?:self|version|\d+/environ)",
    r"\b(?:win|boot|system)\.ini\b|[a-z]:[/\\]{1,2}win(?:dows|nt)[/\\]|\bweb-inf\b",
    r"\b(?:php|phar|expect|zip|glob|dict|gopher|jar)://|\bfile:/{2,3}|\bdata:text/|169\.254\.169\.254",
)
_MARKUP: Final = (
    r"<\s*/?\s*(?:script|img|svg|iframe|body|object|embed|video|marquee|details|math|style|link|meta|a)\b[^>]*>?",
    r"<\?(?:php|=|xml\b)|<!--\s*#|<!(?:entity|doctype|\[cdata)|\bjavascript:|\bvbscript:",
    r"\bon(?:error|load|click|mouseover|focus|toggle|begin)\s*=|\b(?:alert|prompt|confirm)\s*[(`][\w'\"./`]*[)`]",
    r"\bdocument\.(?:cookie|domain|write|location)|\bstring\.fromcharcode",
)
_COMMAND: Final = (
    r"[;|&`\n]\s*(?:sudo\s+)?(?:wget|curl|tftp|fetch)\s+(?:-\w+\s+)*[\"']?(?:https?:|ftp:|\d+\.|\w+\.)",
    r"[;|&`]\s*(?:nslookup|dig|host)\s+\S+\.\w|[;|&`]\s*ping\s+(?:-\w|\d)|[;|&`]\s*cat\s+[/.$]|[;|&`]\s*sleep\s+\d",
    r"[|`]\s*(?:id|ls(?:\s+-\w+)?|dir)\s*(?:[;|&`)#]|$)|[;|&`(]\s*(?:whoami|uname\s+-a|ifconfig|ipconfig)\b",
    r"\$\(\s*\w+|\$\{ifs\}|`\s*\w+[^`]*`|/bin/(?:ba|da|z|c)?sh\b|\bcmd(?:\.exe)?\s*/c\b|\bpowershell(?:\.exe)?\s+-|/dev/tcp/",
    r"\bnc\s+-\w*e\b|\bbase64\s+(?:-d|--decode)\b|\bchmod\s+[+\d]|\brm\s+-rf?\b|[;|]\s*(?:python\d?|perl|php)\s+-[cer]\b",
    r"\b(?:passthru|shell_exec|proc_open|popen|phpinfo|base64_decode|file_put_contents)\s*\(",
    r"\b(?:system|eval|assert|exec)\(['\"$\w@]",
)
_TEMPLATE: Final = (
    r"\{\{.*?(?:\d\s*[*+-]\s*\d|config|self|request|class|import|constructor|lipsum|cycler|range|exec).*?\}\}",
    r"[$#*@%]\{\s*[\d('\"]+\s*[*+]\s*[\d('\"]+.*?\}|<%=?.*?%>|[%$#]\{\s*\(?[#@]|\{%.*?%\}|#_?memberaccess|\bt\(java\.",
    r"__(?:class|globals|mro|import|builtins)__",
)
_OBJECT: Final = (
    r"\bo:\d+:\\?\"[\w\\]+\\?\":\d+:\{|\ba:\d+:\{[is]:\d|\bro0ab[a-z0-9]|\bac ?ed ?00 ?05\b|\}__\w+\|",
    r"\*\)\(|\)\(\|?\(?(?:uid|cn|objectclass|password)=",
)

# A look-up within `${...}`, whatever it is nested in or hidden by: ${jndi:, ${${lower:j}ndi:, ${::-j}, ${env:X:-j}.
LOG4SHELL: Final = (
    r"(?i)(?:\$|%24|\\u0024)(?:\{|%7b|\\u007b)(?:.*jndi|[^}]*(?:lower|upper|env|sys|java|date|base64"
    r"|main|ctx|web|bundle|k8s|docker|log4j|spring|sd|marker|map)[^}]*:|[^}]*:-|\s*\$\{)|\bjndi:[a-z]{2,5}:/?/?"
)
SHELLSHOCK: Final = r"\(\s*\)\s*\{[^}]*\}?\s*;"
SQL_INJECTION: Final = f"(?i){'|'.join(_SQL)}"
PATH_TRAVERSAL: Final = f"(?i){'|'.join(_TRAVERSAL)}"
MARKUP: Final = f"(?i){'|'.join(_MARKUP)}"
COMMAND: Final = f"(?i){'|'.join(_COMMAND)}"
TEMPLATE: Final = f"(?i){'|'.join(_TEMPLATE)}"
OBJECT: Final = f"(?i){'|'.join(_OBJECT)}"
NULL_BYTE: Final = r"\x00|%00|\\x00|\\0\b|\\u0000"
LINE_BREAK: Final = r"(?i)[\r\n]+\s*\S|%0d%0a|%0[ad]\S|\\r\\n|%e5%98%8[ad]|\xe5\x98[\x8a\x8d]"

# The rule, what it finds, and its expression.
RULES: Final = (
    ("log4shell", "log4shell", LOG4SHELL),
    ("shellshock", "shellshock", SHELLSHOCK),
    ("sql-injection", "SQL injection", SQL_INJECTION),
    ("path-traversal", "path traversal", PATH_TRAVERSAL),
    ("markup", "script injection", MARKUP),
    ("command", "command injection", COMMAND),
    ("template", "template injection", TEMPLATE),
    ("object", "object injection", OBJECT),
    ("null-byte", "null byte", NULL_BYTE),
    ("line-break", "header injection", LINE_BREAK),
)
