# A Kinesis stream, a bucket for what is stored, a table for the journal, a queue that hears of log files, a volume for a
# root that has its journal itself, and the roles. Leave out the table or the volume: a root needs one of them.
# Not tested on AWS. The same as cloudformation.yaml; the policies are the files of the folder iam.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "stream" {
  type    = string
  default = "cloudfront-realtime"
}

variable "retention_hours" {
  description = "How long records are kept: at least twice as long as nobody may be reading."
  type        = number
  default     = 72
}

variable "bucket" {
  description = "A bucket of its own for objects and tables."
  type        = string
}

variable "log_bucket" {
  description = "The bucket that log files are delivered to, where they are read from S3."
  type        = string
}

variable "journal_table" {
  description = "The table of journals, which several Shardlakes may share."
  type        = string
  default     = "shardlake"
}

variable "journal_app" {
  description = "The name of this one's journal in the table."
  type        = string
  default     = "main"
}

variable "source_table" {
  description = "The table whose changes are followed, where one is."
  type        = string
  default     = "orders"
}

variable "copy_table" {
  description = "The table that a copy is kept in, where one is."
  type        = string
  default     = "orders-copy"
}

variable "lease_table" {
  description = "The application of the Kinesis Client Library whose leases are taken over, where there is one."
  type        = string
  default     = "orders-app"
}

variable "availability_zone" {
  description = "Where the machine is that the root's volume is attached to."
  type        = string
}

variable "root_gib" {
  type    = number
  default = 50
}

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

locals {
  queue = "shardlake-notices"
  names = {
    account    = data.aws_caller_identity.this.account_id
    region     = data.aws_region.this.name
    stream     = aws_kinesis_stream.this.name
    bucket     = aws_s3_bucket.lake.bucket
    log_bucket = var.log_bucket
    queue      = local.queue

    journal_table = aws_dynamodb_table.journal.name
    journal_app   = var.journal_app
    source_table  = var.source_table
    copy_table    = var.copy_table
    lease_table   = var.lease_table
  }
}

resource "aws_kinesis_stream" "this" {
  name             = var.stream
  retention_period = var.retention_hours
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = "ON_DEMAND"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket" "lake" {
  bucket = var.bucket

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "lake" {
  bucket = aws_s3_bucket.lake.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_ownership_controls" "lake" {
  bucket = aws_s3_bucket.lake.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "lake" {
  bucket                  = aws_s3_bucket.lake.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_dynamodb_table" "journal" {
  name                        = var.journal_table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = true

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_sqs_queue" "notices" {
  name                       = local.queue
  message_retention_seconds  = 345600
  visibility_timeout_seconds = 300
  sqs_managed_sse_enabled    = true
}

resource "aws_sqs_queue_policy" "notices" {
  queue_url = aws_sqs_queue.notices.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "LogBucketTells"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = ["sqs:SendMessage"]
      Resource  = aws_sqs_queue.notices.arn
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.names.account }
        ArnLike      = { "aws:SourceArn" = "arn:aws:s3:::${var.log_bucket}" }
      }
    }]
  })
}

resource "aws_ebs_volume" "root" {
  availability_zone = var.availability_zone
  size              = var.root_gib
  type              = "gp3"
  encrypted         = true

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_iam_policy" "this" {
  for_each = {
    stream-worker = templatefile("${path.module}/iam/stream-worker.json", local.names)
    file-source   = templatefile("${path.module}/iam/file-source.json", local.names)
    batch         = templatefile("${path.module}/iam/batch.json", local.names)
    query         = templatefile("${path.module}/iam/query.json", local.names)
    producer      = templatefile("${path.module}/iam/producer.json", local.names)
    fan-out       = templatefile("${path.module}/iam/fan-out.json", local.names)
    function      = templatefile("${path.module}/iam/function.json", local.names)

    journal        = templatefile("${path.module}/iam/journal.json", local.names)
    journal-reader = templatefile("${path.module}/iam/journal-reader.json", local.names)

    table-source    = templatefile("${path.module}/iam/table-source.json", local.names)
    table-bootstrap = templatefile("${path.module}/iam/table-bootstrap.json", local.names)
    table-copy      = templatefile("${path.module}/iam/table-copy.json", local.names)
    lease-table     = templatefile("${path.module}/iam/lease-table.json", local.names)
  }

  name   = "shardlake-${each.key}"
  policy = each.value
}

resource "aws_iam_role" "task" {
  for_each = toset(["worker", "batch"])
  name     = "shardlake-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = ["sts:AssumeRole"]
    }]
  })
}

resource "aws_iam_role_policy_attachment" "task" {
  for_each = {
    stream-worker = "worker"
    file-source   = "worker"
    batch         = "batch"
  }

  role       = aws_iam_role.task[each.value].name
  policy_arn = aws_iam_policy.this[each.key].arn
}

resource "aws_iam_role_policy_attachment" "journal" {
  for_each = aws_iam_role.task

  role       = each.value.name
  policy_arn = aws_iam_policy.this["journal"].arn
}

output "stream_arn" {
  value = aws_kinesis_stream.this.arn
}

output "queue_url" {
  value = aws_sqs_queue.notices.url
}

output "journal_url" {
  value = "dynamodb://${aws_dynamodb_table.journal.name}/${var.journal_app}"
}

output "root_volume_id" {
  value = aws_ebs_volume.root.id
}
